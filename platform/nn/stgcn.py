"""ST-GCN: graph convolutions over the joints, plain convolutions over time, in ten blocks.

Source: LinguoLi/CrosSCLR, net/st_gcn.py. Shapes: N samples, M persons, R = N * M rows, C channels,
T frames, V joints, K subsets of the graph.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn

TEMPORAL_KERNEL = 9


class STGCN(nn.Module):
    """Encodes a skeleton sequence: (N, C, T, V, M) -> features (N, feature_dim).

    All persons pass the same network and count alike in the mean over persons, an absent one (all
    zeros) too, as published. Outputs of `blocks[i]` are (R, C_i, T_i, V), row n * M + m.

    Args:
        graph: adjacency (K, V, V) of `skelray.platform.skeleton.graph`.
        in_channels: coordinates per joint.
        channels: width of the first blocks; the later ones have 2 and 4 times as many.
        feature_dim: width of the last block.
        dropout: probability, element by element, in all blocks but the first.
    """

    def __init__(
        self,
        *,
        graph: Tensor,
        in_channels: int = 3,
        channels: int = 16,
        feature_dim: int = 256,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.adjacency: Tensor
        self.register_buffer("adjacency", graph.clone())
        self.feature_dim = feature_dim
        self.input_norm = nn.BatchNorm1d(in_channels * graph.shape[1])
        outputs = [channels] * 4 + [2 * channels] * 3 + [4 * channels] * 2 + [feature_dim]
        inputs = [in_channels, *outputs[:-1]]
        self.blocks = nn.ModuleList(
            STGCNBlock(
                before,
                after,
                graph=graph,
                stride=2 if index in (4, 7) else 1,
                dropout=dropout if index else 0.0,
                residual=index > 0,
            )
            for index, (before, after) in enumerate(zip(inputs, outputs, strict=True))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, feature_dim) of sequences (N, C, T, V, M)."""
        n, c, t, v, m = x.shape
        rows = x.permute(0, 4, 3, 1, 2).reshape(n * m, v * c, t)  # channels joint after joint
        rows = self.input_norm(rows).view(n * m, v, c, t).permute(0, 2, 3, 1).contiguous()
        for block in self.blocks:
            rows = block(rows, self.adjacency)
        return rows.mean((2, 3)).view(n, m, -1).mean(1)


class STGCNBlock(nn.Module):
    """One block, (R, C_in, T, V) -> (R, C_out, ceil(T / stride), V).

    ReLU of the temporal branch (graph convolution, BatchNorm, ReLU, convolution over time,
    BatchNorm, dropout) plus the input, which is projected where its shape differs.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        graph: Tensor,
        stride: int,
        dropout: float,
        residual: bool,
    ) -> None:
        super().__init__()
        self.graph = GraphConvolution(in_channels, out_channels, graph)
        self.temporal = nn.Sequential(
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
            nn.Conv2d(
                out_channels,
                out_channels,
                (TEMPORAL_KERNEL, 1),
                stride=(stride, 1),
                padding=(TEMPORAL_KERNEL // 2, 0),
            ),
            nn.BatchNorm2d(out_channels),
            nn.Dropout(dropout),
        )
        self.residual: nn.Module | None = None
        if residual and in_channels == out_channels and stride == 1:
            self.residual = nn.Identity()
        elif residual:
            self.residual = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride=(stride, 1)),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        """The block's output; `adjacency` (K, V, V) is the graph before edge importance."""
        y = self.temporal(self.graph(x, adjacency))
        if self.residual is not None:
            y = y + self.residual(x)
        return torch.relu(y)


class GraphConvolution(nn.Module):
    """A 1x1 convolution per subset of neighbours, (R, C_in, T, V) -> (R, C_out, T, V).

    y[r, o, t, w] = Σ_k Σ_v conv(x)[r, k * C_out + o, t, v] * A[k, v, w] * edge_importance[k, v, w].
    Both steps are linear, so the joints are mixed first: cheaper, as C_in is never above C_out.
    """

    def __init__(self, in_channels: int, out_channels: int, graph: Tensor) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, len(graph) * out_channels, 1)
        self.edge_importance = nn.Parameter(torch.ones_like(graph))

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        """Output for x and the graph `adjacency` (K, V, V)."""
        edges = adjacency * self.edge_importance
        subsets, joints, _ = edges.shape
        flat = x.reshape(-1, joints)
        mixed = torch.cat(
            [(flat @ edge).view(x.shape) for edge in edges], dim=1
        )  # (R, K*C_in, T, V)
        weight = self.conv.weight.view(subsets, -1, x.shape[1]).transpose(0, 1).flatten(1)
        assert self.conv.bias is not None
        bias = self.conv.bias.view(subsets, -1).T @ edges.sum(
            1
        )  # (C_out, V): spread by the edges too
        y = nn.functional.conv2d(mixed, weight[:, :, None, None])
        return y + bias[:, None]


# (pattern of the published state_dict's keys, our key)
_PUBLISHED = (
    (r"A", "adjacency"),
    (r"data_bn\.(\w+)", r"input_norm.\1"),
    (r"edge_importance\.(\d+)", r"blocks.\1.graph.edge_importance"),
    (r"st_gcn_networks\.(\d+)\.gcn\.conv\.(\w+)", r"blocks.\1.graph.conv.\2"),
    (r"st_gcn_networks\.(\d+)\.tcn\.(\d)\.(\w+)", r"blocks.\1.temporal.\2.\3"),
    (r"st_gcn_networks\.(\d+)\.residual\.(\d)\.(\w+)", r"blocks.\1.residual.\2.\3"),
)


def published_key(key: str) -> str:
    """Our state_dict key for one of LinguoLi/CrosSCLR's encoder (without prefix, `fc` excepted).

    Raises:
        KeyError: where the published encoder has no such key.
    """
    for pattern, ours in _PUBLISHED:
        match = re.fullmatch(pattern, key)
        if match:
            return match.expand(ours)
    raise KeyError(key)
