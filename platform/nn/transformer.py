"""Pre-norm transformer blocks. Shapes: N samples, L tokens, D their width.

Source: zoranadozdor/SVdata2vec and maoyunyao/MAMP, model/transformer.py (after timm's ViT).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


class Attention(nn.Module):
    """Multi-head self-attention with one projection for queries, keys and values."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"{heads} heads do not share a width of {dim}")
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.projection = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(N, L, D) to (N, L, D)."""
        n, length, dim = x.shape
        qkv = self.qkv(x).view(n, length, 3, self.heads, dim // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        mixed = scaled_dot_product_attention(query, key, value)
        projected: Tensor = self.projection(mixed.transpose(1, 2).reshape(n, length, dim))
        return projected


class DropPath(nn.Module):
    """Leaves out a residual branch, sample by sample, in training; scales it where it stays.

    Source: Huang et al., "Deep Networks with Stochastic Depth", ECCV 2016.
    """

    def __init__(self, rate: float = 0.0) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """(N, …) with whole samples zero."""
        if not self.training or self.rate == 0.0:
            return x
        kept = x.new_empty(len(x), *[1] * (x.dim() - 1)).bernoulli_(1 - self.rate)
        return x * kept / (1 - self.rate)

    def extra_repr(self) -> str:
        """What printing the module shows."""
        return f"rate={self.rate}"


class Block(nn.Module):
    """Attention, then a perceptron with GELU, each added to what it read through a LayerNorm."""

    def __init__(self, dim: int, heads: int, mlp_ratio: float = 4.0) -> None:
        super().__init__()
        hidden = int(dim * mlp_ratio)
        self.norm1 = nn.LayerNorm(dim)
        self.attention = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))
        self.drop_path = DropPath()

    def forward(self, x: Tensor) -> Tensor:
        """(N, L, D) to (N, L, D)."""
        x = x + self.drop_path(self.attention(self.norm1(x)))
        added: Tensor = x + self.drop_path(self.mlp(self.norm2(x)))
        return added


class Transformer(nn.Module):
    """Blocks one after the other, and a LayerNorm."""

    def __init__(self, dim: int, depth: int, heads: int, mlp_ratio: float = 4.0) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(dim, heads, mlp_ratio) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        """(N, L, D) to (N, L, D)."""
        for block in self.blocks:
            x = block(x)
        normalised: Tensor = self.norm(x)
        return normalised


def set_drop_path(blocks: nn.ModuleList, rate: float) -> None:
    """Drop-path rates that rise evenly with the depth, from 0 in the first block to `rate`."""
    for number, block in enumerate(blocks):
        assert isinstance(block, Block)
        block.drop_path.rate = rate * number / max(1, len(blocks) - 1)
