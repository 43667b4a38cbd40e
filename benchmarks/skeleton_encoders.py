"""Skeleton-Contrast's encoders against plain ones: `python benchmarks/skeleton_encoders.py`.

The published GRU is fed one frame at a time with its states carried on; A-GCN is written subset by
subset, every person by itself. Both are compared with the platform's under the same weights, first
in what they give and then in time: forward alone, as for keys, and forward with backward, as for
queries. One in five recordings has two persons, as in NTU RGB+D. Nothing else should run meanwhile;
`--device cuda` measures a GPU.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial

import measure
import torch
from torch import Tensor, nn
from torch.nn import functional
from training_step import clips

FRAMES, COORDINATES, JOINTS, PERSONS = 64, 3, 25, 2


class SteppedGRU(nn.Module):
    """A bidirectional GRU that sees one frame at a time: (N, T, 150) -> (N, 2048)."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Module()
        width = COORDINATES * JOINTS * PERSONS
        self.encoder.gru = nn.GRU(width, 1024, 3, bidirectional=True, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        state: Tensor | None = None
        for frame in range(x.shape[1]):
            out, state = self.encoder.gru(x[:, frame : frame + 1], state)
        return out[:, 0]


class PlainGraph(nn.Module):
    """A-GCN's graph convolution, one subset of edges after the other."""

    def __init__(self, before: int, after: int, graph: Tensor) -> None:
        super().__init__()
        self.register_buffer("graph", graph, persistent=False)
        self.PA = nn.Parameter(torch.full_like(graph, 1e-6))
        self.conv_a, self.conv_b = (
            nn.ModuleList(nn.Conv2d(before, after // 4, 1) for _ in graph) for _ in range(2)
        )
        self.conv_d = nn.ModuleList(nn.Conv2d(before, after, 1) for _ in graph)
        self.bn = nn.BatchNorm2d(after)
        self.down: nn.Module = nn.Identity()
        if before != after:
            self.down = nn.Sequential(nn.Conv2d(before, after, 1), nn.BatchNorm2d(after))

    def forward(self, x: Tensor) -> Tensor:
        rows, channels, frames, joints = x.shape
        total: Tensor | int = 0
        for k, (a, b, d) in enumerate(zip(self.conv_a, self.conv_b, self.conv_d, strict=True)):
            sources = a(x).permute(0, 3, 1, 2).reshape(rows, joints, -1)
            targets = b(x).reshape(rows, -1, joints)
            attention = torch.softmax(sources @ targets / sources.shape[2], dim=1)
            edges = attention + self.graph[k] + self.PA[k]
            mixed = x.reshape(rows, channels * frames, joints) @ edges
            total = total + d(mixed.view(rows, channels, frames, joints))
        return functional.relu(self.bn(total) + self.down(x))


class PlainTemporal(nn.Module):
    """A convolution along time with BatchNorm."""

    def __init__(self, before: int, after: int, kernel: int, stride: int) -> None:
        super().__init__()
        padding = (kernel // 2, 0)
        self.conv = nn.Conv2d(before, after, (kernel, 1), stride=(stride, 1), padding=padding)
        self.bn = nn.BatchNorm2d(after)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))


class PlainBlock(nn.Module):
    """Graph, time, residual."""

    def __init__(self, before: int, after: int, graph: Tensor, stride: int, first: bool) -> None:
        super().__init__()
        self.first = first
        self.gcn1 = PlainGraph(before, after, graph)
        self.tcn1 = PlainTemporal(after, after, 9, stride)
        self.residual: nn.Module = nn.Identity()
        if not first and (before != after or stride > 1):
            self.residual = PlainTemporal(before, after, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.tcn1(self.gcn1(x))
        return functional.relu(y if self.first else y + self.residual(x))


class PlainAGCN(nn.Module):
    """A-GCN as its paper describes it: (N, C, T, V, M) -> (N, 256)."""

    def __init__(self, graph: Tensor) -> None:
        super().__init__()
        self.data_bn = nn.BatchNorm1d(PERSONS * JOINTS * COORDINATES)
        widths = [COORDINATES] + [64] * 4 + [128] * 3 + [256] * 3
        for number, (before, after) in enumerate(itertools.pairwise(widths), 1):
            block = PlainBlock(before, after, graph, 2 if number in (5, 8) else 1, number == 1)
            setattr(self, f"l{number}", block)

    def forward(self, x: Tensor) -> Tensor:
        n, c, t, v, m = x.shape
        x = self.data_bn(x.permute(0, 4, 3, 1, 2).reshape(n, m * v * c, t))
        x = x.view(n * m, v, c, t).permute(0, 2, 3, 1).contiguous()
        for number in range(1, 11):
            x = getattr(self, f"l{number}")(x)
        return x.mean((2, 3)).view(n, m, -1).mean(1)


def pair(representation: str) -> tuple[nn.Module, nn.Module]:
    """A plain encoder and the platform's with the same weights."""
    from skelray.methods.skeleton_contrast.checkpoints import encoder_state
    from skelray.platform.nn.agcn import AGCN
    from skelray.platform.nn.gru import TwinGRU
    from skelray.platform.skeleton.graph import tree_adjacency
    from skelray.platform.skeleton.specs import KINECT_V2

    torch.manual_seed(0)
    graph = tree_adjacency(KINECT_V2)
    plain, ours = SteppedGRU(), TwinGRU(COORDINATES * JOINTS * PERSONS)
    if representation == "graph":
        plain, ours = PlainAGCN(graph), AGCN(graph=graph, persons=PERSONS)
    ours.load_state_dict(encoder_state(plain.state_dict(), representation))
    return plain, ours


def inputs(representation: str, batch: int) -> Tensor:
    """Made-up clips in the representation's form."""
    from skelray.methods.skeleton_contrast.representations import form_of

    return form_of(clips(batch, FRAMES), representation)


def encoder(
    representation: str, batch: int, device: str, *, plain: bool, learns: bool
) -> Callable[[], object]:
    """One pass through an encoder in training mode; `learns`: with the backward pass."""
    network = pair(representation)[0 if plain else 1].to(device)
    x = inputs(representation, batch).to(device)

    def call() -> None:
        with torch.set_grad_enabled(learns):
            features = network(x)
        if learns:
            network.zero_grad(set_to_none=True)
            features.square().mean().backward()
        if device == "cuda":
            torch.cuda.synchronize()

    return call


def difference(representation: str) -> float:
    """The largest one between both encoders' features, relative to the largest feature."""
    plain, ours = pair(representation)
    x = inputs(representation, 10)
    with torch.no_grad():
        expected, found = plain(x), ours(x)
    return float((found - expected).abs().max() / expected.abs().max())


def main() -> None:
    """Compares, measures and prints."""
    parser = measure.parser(__doc__)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    given = parser.parse_args()
    ratios = {}
    for representation, name in (("sequence", "GRU"), ("graph", "A-GCN")):
        print(f"{name}: features differ by {difference(representation):.1e} of the largest")
        for learns, passes in ((False, "forward"), (True, "forward and backward")):
            build = partial(encoder, representation, given.batch, given.device, learns=learns)
            contestants = {"plain": partial(build, plain=True), "ours": partial(build, plain=False)}
            medians = measure.compete(contestants, given.rounds, warm=1)
            for which, median in medians.items():
                print(f"  {passes:20s} {which:5s} {1000 * median:8.0f} ms")
            ratios[f"{name}, {passes}"] = medians["plain"] / medians["ours"]
    measure.conclude(given, ratios)


if __name__ == "__main__":
    main()
