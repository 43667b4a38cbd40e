"""ST-GCN: graph convolutions over the joints, plain convolutions over time, in ten blocks.

Source: LinguoLi/CrosSCLR, net/st_gcn.py. Shapes: N samples, M persons, R rows (at most N * M), C
channels, T frames, V joints, K subsets of the graph. Rows lie in memory with the channels innermost
(channels_last), which convolutions on CPUs and the product with the graph read fastest.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn

from skelray.platform.nn.batch_norm import BatchNorm
from skelray.platform.nn.dropout import Dropout
from skelray.platform.nn.rows import DistinctRows, distinct_rows

TEMPORAL_KERNEL = 9


class STGCN(nn.Module):
    """Encodes a skeleton sequence: (N, C, T, V, M) -> features (N, feature_dim).

    All persons pass the same network and count alike in the mean over persons, an absent one (all
    zeros) too, as published. Where no dropout tells them apart, all absent ones are one row.
    Outputs of `blocks[i]` are (R, C_i, T_i, V).

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
        self.input_norm = BatchNorm(in_channels * graph.shape[1])
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
        distinct = DistinctRows(rows, None) if self._drops else distinct_rows(rows)
        repeats = distinct.repeats
        rows = self.input_norm(distinct.rows, repeats).view(-1, v, c, t).permute(0, 2, 3, 1)
        rows = rows.contiguous(memory_format=torch.channels_last)
        for block in self.blocks:
            rows = block(rows, self.adjacency, repeats)
        return distinct.spread(rows.mean((2, 3))).view(n, m, -1).mean(1)

    @property
    def _drops(self) -> bool:
        parts = (part for part in self.modules() if isinstance(part, Dropout))
        return any(part.training and part.p > 0 for part in parts)


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
            BatchNorm(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(
                out_channels,
                out_channels,
                (TEMPORAL_KERNEL, 1),
                stride=(stride, 1),
                padding=(TEMPORAL_KERNEL // 2, 0),
            ),
            BatchNorm(out_channels),
            Dropout(dropout),
        )
        self.residual: nn.Module | None = None
        if residual and in_channels == out_channels and stride == 1:
            self.residual = nn.Identity()
        elif residual:
            self.residual = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride=(stride, 1)),
                BatchNorm(out_channels),
            )

    def forward(self, x: Tensor, adjacency: Tensor, repeats: Tensor | None = None) -> Tensor:
        """The block's output.

        `adjacency` (K, V, V) is the graph before edge importance, `repeats` (R,) how many equal
        rows each row stands for.
        """
        first_norm, relu, convolution, second_norm, dropout = self.temporal
        y = convolution(relu(first_norm(self.graph(x, adjacency), repeats)))
        y = dropout(second_norm(y, repeats))
        if isinstance(self.residual, nn.Sequential):
            y += projected(x, self.residual, repeats)
        elif self.residual is not None:
            y += x
        return y.relu_()


def projected(x: Tensor, projection: nn.Sequential, repeats: Tensor | None = None) -> Tensor:
    """What a 1x1 convolution, strided in time, and a BatchNorm make of x (R, C, T, V)."""
    convolution, norm = projection
    assert isinstance(convolution, nn.Conv2d)
    # the frames are picked beforehand: where there are few channels, oneDNN's gradient of a strided
    # 1x1 convolution's weights writes past its workspace in this layout (uxlfoundation/oneDNN,
    # issue 6035)
    picked = x[:, :, :: convolution.stride[0]]
    y: Tensor = norm(nn.functional.conv2d(picked, convolution.weight, convolution.bias), repeats)
    return y


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
        rows, channels, frames, joints = x.shape
        edges = adjacency * self.edge_importance
        subsets = len(edges)
        targets = edges.permute(2, 0, 1).reshape(-1, joints)  # (V * K, V)
        by_joint = x.permute(0, 2, 3, 1).reshape(-1, joints, channels)
        mixed = torch.bmm(targets.expand(by_joint.shape[0], -1, -1), by_joint)
        mixed = mixed.view(rows, frames, joints, -1).permute(0, 3, 1, 2)  # (R, K * C_in, T, V)
        weight = self.conv.weight.view(subsets, -1, channels).transpose(0, 1).flatten(1)
        y = nn.functional.conv2d(mixed, weight[:, :, None, None])
        assert self.conv.bias is not None
        bias = edges.sum(1).T @ self.conv.bias.view(subsets, -1)  # (V, C_out): spread by the edges
        return y + bias.T[:, None]


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
