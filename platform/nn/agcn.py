"""A-GCN: graph convolutions whose edges are the skeleton's, learned ones, and ones of each sample.

Source: Shi et al., "Two-Stream Adaptive Graph Convolutional Networks for Skeleton-Based Action
Recognition", CVPR 2019; fmthoker/skeleton-contrast, moco/AGCN.py. Shapes: N samples, M persons, R
rows (at most N * M), C channels, T frames, V joints, K subsets of the graph. Rows lie in memory
with the channels innermost, as in stgcn.py.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from skelray.platform.nn.batch_norm import BatchNorm
from skelray.platform.nn.rows import distinct_persons
from skelray.platform.nn.stgcn import TEMPORAL_KERNEL, projected

_SMALL = 1e-6  # what edges and the graph convolutions' BatchNorm start from: blocks begin plain


class AGCN(nn.Module):
    """Encodes a skeleton sequence: (N, C, T, V, M) -> features (N, feature_dim).

    Each slot of persons has an input BatchNorm of its own; then all pass the same network and count
    alike in the mean over persons, an absent one (all zeros) too, as published. All absent ones of
    the last slot are one row.

    Args:
        graph: adjacency (K, V, V), of `skelray.platform.skeleton.graph.tree_adjacency`.
        persons: M.
        in_channels: coordinates per joint.
        channels: width of the first four blocks; three have twice, three four times as many.
    """

    def __init__(
        self, *, graph: Tensor, persons: int, in_channels: int = 3, channels: int = 64
    ) -> None:
        super().__init__()
        self.adjacency: Tensor
        self.register_buffer("adjacency", graph.clone(), persistent=False)  # as published
        self.feature_dim = 4 * channels
        self.input_norm = BatchNorm(persons * graph.shape[1] * in_channels)
        widths = [in_channels] + [channels] * 4 + [2 * channels] * 3 + [4 * channels] * 3
        self.blocks = nn.ModuleList(
            AGCNBlock(before, after, graph=graph, stride=2 if n in (4, 7) else 1, residual=n > 0)
            for n, (before, after) in enumerate(pairwise(widths))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, feature_dim) of sequences (N, C, T, V, M)."""
        n, c, t, v, m = x.shape
        flat = x.permute(0, 4, 3, 1, 2).reshape(n, m * v * c, t)
        rows = self.input_norm(flat).view(n * m, v, c, t).permute(0, 2, 3, 1)
        distinct = distinct_persons(rows, x)
        rows = distinct.rows.contiguous(memory_format=torch.channels_last)
        for block in self.blocks:
            rows = block(rows, self.adjacency, distinct.repeats)
        return distinct.spread(rows.mean((2, 3))).view(n, m, -1).mean(1)


class AGCNBlock(nn.Module):
    """One block, (R, C_in, T, V) -> (R, C_out, ceil(T / stride), V).

    ReLU of the temporal branch (graph convolution, convolution over time, BatchNorm) plus the
    input, which is projected where its shape differs.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, graph: Tensor, stride: int, residual: bool
    ) -> None:
        super().__init__()
        self.graph = AdaptiveGraphConvolution(in_channels, out_channels, graph)
        self.temporal = nn.Conv2d(
            out_channels,
            out_channels,
            (TEMPORAL_KERNEL, 1),
            stride=(stride, 1),
            padding=(TEMPORAL_KERNEL // 2, 0),
        )
        _init(self.temporal)
        self.norm = BatchNorm(out_channels)
        self.residual: nn.Module | None = None
        if residual and in_channels == out_channels and stride == 1:
            self.residual = nn.Identity()
        elif residual:
            self.residual = _projection(in_channels, out_channels, stride)

    def forward(self, x: Tensor, adjacency: Tensor, repeats: Tensor | None = None) -> Tensor:
        """The block's output.

        `adjacency` (K, V, V) are the skeleton's edges, `repeats` (R,) how many equal rows each row
        stands for.
        """
        y = self.norm(self.temporal(self.graph(x, adjacency, repeats)), repeats)
        if isinstance(self.residual, nn.Sequential):
            y += projected(x, self.residual, repeats)
        elif self.residual is not None:
            y += x
        return y.relu_()


class AdaptiveGraphConvolution(nn.Module):
    """A 1x1 convolution per subset of edges, BatchNorm, shortcut, ReLU: C_in to C_out channels.

    y[r, o, t, w] = Σ_k Σ_v conv_k(x)[r, o, t, v] * edges[r, k, v, w], where the edges are the sum
    of the skeleton's, learned ones, and those that the rows' own joints attend to each other with.
    The joints are mixed first: cheaper, as C_in is never above C_out.
    """

    def __init__(self, in_channels: int, out_channels: int, graph: Tensor) -> None:
        super().__init__()
        subsets, embedded = len(graph), out_channels // 4
        self.embedding = nn.Conv2d(in_channels, 2 * subsets * embedded, 1)  # sources, then targets
        self.edges = nn.Parameter(torch.full_like(graph, _SMALL))
        self.conv = nn.Conv2d(in_channels, subsets * out_channels, 1)
        _init(self.embedding, fan_out=embedded)
        _init(self.conv, fan_out=out_channels * in_channels * subsets)
        self.norm = BatchNorm(out_channels)
        nn.init.constant_(self.norm.weight, _SMALL)
        self.shortcut: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.shortcut = _projection(in_channels, out_channels)

    def forward(self, x: Tensor, adjacency: Tensor, repeats: Tensor | None = None) -> Tensor:
        """Output (R, C_out, T, V) for x (R, C_in, T, V) and the graph `adjacency` (K, V, V)."""
        y = self.norm(self._mixed(x, self.attention(x) + adjacency + self.edges), repeats)
        if isinstance(self.shortcut, nn.Sequential):
            y += projected(x, self.shortcut, repeats)
        else:
            y += x
        return y.relu_()

    def attention(self, x: Tensor) -> Tensor:
        """Edges (R, K, V, V) of each row: those into a joint, a column, sum to 1."""
        rows, _, frames, joints = x.shape
        found = self.embedding(x).view(rows, 2, len(self.edges), -1, frames, joints)
        sources, targets = found.permute(1, 0, 2, 5, 4, 3).flatten(4)  # (R, K, V, T * C_in)
        return (sources @ targets.mT / sources.shape[3]).softmax(dim=2)

    def _mixed(self, x: Tensor, edges: Tensor) -> Tensor:
        rows, channels, frames, joints = x.shape
        subsets = edges.shape[1]
        into = edges.permute(0, 3, 1, 2).reshape(rows, 1, joints * subsets, joints)
        mixed = into @ x.permute(0, 2, 3, 1)  # (R, T, V * K, C)
        weight = self.conv.weight.view(subsets, -1, channels).transpose(0, 1).flatten(1)
        assert self.conv.bias is not None
        bias = self.conv.bias.view(subsets, -1).sum(0)
        y = nn.functional.linear(mixed.view(rows, frames, joints, -1), weight, bias)
        return y.permute(0, 3, 1, 2)


def _projection(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(in_channels, out_channels, 1, stride=(stride, 1))
    _init(convolution)
    return nn.Sequential(convolution, BatchNorm(out_channels))


def _init(convolution: nn.Conv2d, fan_out: int | None = None) -> None:
    """Normal weights of variance 2 / fan_out, by default channels times kernel; biases 0."""
    if fan_out is None:
        fan_out = convolution.out_channels * math.prod(convolution.kernel_size)
    nn.init.normal_(convolution.weight, std=math.sqrt(2 / fan_out))
    assert convolution.bias is not None
    nn.init.zeros_(convolution.bias)
