"""The video part of the link inference: single frames and segments of a clip, stretched to clips.

Source: AnshulRustogi/Long-Term-Spatio-Temporal-Framework, net/utils/adj_learn.py. Shapes: B bodies,
V joints, E = V(V-1) pairs, K types of links, T frames of a clip, S = 5 segments of it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from skelray.methods.lstcl.config import SEGMENTS, LSTCLConfig
from skelray.methods.lstcl.links import LinkEncoder, LinkMLP
from skelray.platform.method import Draws, Views
from skelray.platform.nn.momentum import copy_parameters, freeze, momentum_update
from skelray.platform.skeleton.spec import SkeletonSpec

EXPANDER = 32  # hidden width
ORDERS = tuple(itertools.permutations(range(SEGMENTS)))  # the first is the identity
TURN = 10.0  # degrees, of an augmented frame at most
JITTER = 0.01  # metres
_BRANCHES = {"inter": 1, "intra": 1, "segments": SEGMENTS}  # frames that each stretches


class Branch(nn.Module):
    """Stretches some frames to a clip, infers its links, projects the pairs: (B, D, K)."""

    def __init__(self, pairs: int, frames: int, clip: int, width: float, dropout: float) -> None:
        super().__init__()
        self.expander = LinkMLP(frames, EXPANDER, clip, dropout, norm=False)
        sizes = [pairs, *(_scaled(size, width) for size in (512, 300, 256, 128, 128, 64))]
        self.projector = _projector(sizes, dropout)
        self.outputs = sizes[-1]  # D

    def forward(self, frames: Tensor, links: LinkEncoder) -> Tensor:
        """The projection of frames (B, V, n, C)."""
        return self.project(stretched_links(frames, self.expander, links))

    def project(self, logits: Tensor) -> Tensor:
        """Logits (B, E, K) of links -> (B, D, K)."""
        x: Tensor = self.projector(logits.transpose(1, 2))
        return x.transpose(1, 2)


class Twins(nn.Module):
    """Two branches: of queries and of keys."""

    def __init__(self, query: Branch, key: Branch) -> None:
        super().__init__()
        self.query, self.key = query, key


class OrderBranch(nn.Module):
    """Guesses which of two sets of segments is out of order: logits (B, 4)."""

    def __init__(self, pairs: int, clip: int, types: int, width: float, dropout: float) -> None:
        super().__init__()
        self.expander = LinkMLP(SEGMENTS, EXPANDER, clip, dropout, norm=False)
        inner = (1024, 512, 512, 256, 128, 128, 64, 32)
        sizes = [2 * pairs, *(_scaled(size, width) for size in inner)]
        self.projector = _projector(sizes, dropout)
        self.head = nn.Linear(types * sizes[-1], 4)

    def forward(self, first: Tensor, second: Tensor, links: LinkEncoder) -> Tensor:
        """Logits for two sets of segments' frames (B, V, S, C)."""
        both = [stretched_links(x, self.expander, links) for x in (first, second)]
        x = self.projector(torch.cat(both, dim=1).transpose(1, 2))
        logits: Tensor = self.head(x.transpose(1, 2).flatten(1))
        return logits


class VideoPart(nn.Module):
    """All branches; with `momentum` the keys' are copies without gradient."""

    def __init__(self, config: LSTCLConfig, joints: int, types: int, *, momentum: bool) -> None:
        super().__init__()
        pairs, dropout = joints * (joints - 1), 0.5 * config.dropout
        shape = (config.clip_frames, config.video_width, dropout)
        self.branches = nn.ModuleDict(
            {
                name: Twins(*(Branch(pairs, frames, *shape) for _ in range(2)))
                for name, frames in _BRANCHES.items()
            }
        )
        self.order = OrderBranch(pairs, config.clip_frames, types, config.video_width, dropout)
        self.momentum = momentum
        if momentum:
            for twins in self.twins():
                copy_parameters(twins.query, freeze(twins.key))
        else:
            freeze(self["segments"].key.expander)  # as coded it is never used

    def __getitem__(self, name: str) -> Twins:
        twins = self.branches[name]
        assert isinstance(twins, Twins)
        return twins

    def twins(self) -> Iterator[Twins]:
        """All pairs of branches."""
        return (self[name] for name in self.branches)

    def move_keys(self, momentum: float) -> None:
        """The keys' branches follow the queries'."""
        for twins in self.twins():
            momentum_update(twins.query, twins.key, momentum)


def _scaled(size: int, width: float) -> int:
    return max(4, round(size * width))


def _projector(sizes: list[int], dropout: float) -> nn.Sequential:
    """Two layers in each MLP: `sizes` holds its input, hidden and output width in turn."""
    triples = zip(sizes[::2], sizes[1::2], sizes[2::2], strict=False)
    return nn.Sequential(*(LinkMLP(*three, dropout) for three in triples))


def stretched_links(frames: Tensor, expander: LinkMLP, links: LinkEncoder) -> Tensor:
    """Logits (B, E, K) of frames (B, V, n, C) that `expander` makes a clip of along time."""
    clip = expander(frames.transpose(2, 3)).transpose(2, 3)
    logits: Tensor = links(clip)
    return logits


class Shown(NamedTuple):
    """What the branches are shown of clips (B, V, T, C)."""

    first: Tensor  # (B, V, 1, C), as are middle and end
    middle: Tensor
    end: Tensor
    begins: Tensor  # (B, V, S, C): the segments' first frames
    ends: Tensor  # their last ones


def shown(clips: Tensor) -> Shown:
    """Three single frames, and the first and last frame of each segment."""
    frames = clips.shape[2]
    middle, length = frames // 2, frames // SEGMENTS
    first, centre, end = (clips[:, :, t : t + 1] for t in (0, middle, frames - 1))
    segments = clips[:, :, : SEGMENTS * length].unflatten(2, (SEGMENTS, length))
    return Shown(first, centre, end, segments[:, :, :, 0], segments[:, :, :, -1])


def reordered(frames: Tensor, order: Tensor) -> Tensor:
    """Segments' frames (B, V, S, C) in the orders (B, S)."""
    return torch.take_along_dim(frames, order[:, None, :, None], dim=2)


def video_views(draws: Draws, clip: Tensor, skeleton: SkeletonSpec, *, complete: bool) -> Views:
    """Augmented first frames (N, 3, V, M) of clips (N, 3, T, V, M), and orders of segments."""
    first = clip[:, :, 0]
    views = {
        f"{name}_frame": augment_pose(draws, name, first, skeleton)
        if complete
        else pixels_as_coded(draws, name, first)
        for name in ("inter", "intra")
    }
    orders, label = draw_orders(draws, clip.shape[-1], each=complete)
    return {**views, "orders": orders, "order_label": label}


def draw_orders(draws: Draws, persons: int, *, each: bool) -> tuple[Tensor, Tensor]:
    """Orders (N, M, 2, S) of both sets of segments, and the label (N, M) of which are shuffled.

    With `each` every body has its own, and a shuffled one is never in order; as coded one draw
    serves the whole batch.
    """
    low = int(each)
    if each:
        coins = draws.uniform("order/coins", persons, 2) < 0.5
        place = draws.integers("order/place", persons, 2, low=low, high=len(ORDERS))
    else:
        count = len(draws.keys)
        coins = (draws.shared("order/coins", 2) < 0.5).expand(count, persons, 2)
        place = (draws.shared("order/place", 2) * len(ORDERS)).long().expand(count, persons, 2)
    orders = torch.tensor(ORDERS, device=coins.device)[torch.where(coins, place, 0)]
    return orders, 2 * coins[..., 0].long() + coins[..., 1].long()


def augment_pose(draws: Draws, tag: str, x: Tensor, skeleton: SkeletonSpec) -> Tensor:
    """Poses (N, 3, V, M), each body turned about all axes, half of them mirrored, half jittered.

    Draws `TAG/turn` (N, M, 3), `TAG/mirror` and `TAG/jittered` (N, M), `TAG/jitter` (N, 3, V, M).
    """
    persons = x.shape[-1]
    angles = torch.deg2rad(draws.uniform(f"{tag}/turn", persons, 3, low=-TURN, high=TURN))
    turned = torch.einsum("nmdc,ncvm->ndvm", rotations(angles.to(x.dtype)), x)
    mirrored = turned[:, :, list(skeleton.flip)] * x.new_tensor([-1.0, 1.0, 1.0])[:, None, None]
    mirror, jittered = (
        draws.uniform(f"{tag}/{name}", persons)[:, None, None] < 0.5
        for name in ("mirror", "jittered")
    )
    turned = torch.where(mirror, mirrored, turned)
    jitter = JITTER * draws.normal(f"{tag}/jitter", *x.shape[1:]).to(x.dtype)
    there = (x != 0).any(dim=2, keepdim=True).any(dim=1, keepdim=True)
    return turned + jitter * (jittered & there)


def rotations(angles: Tensor) -> Tensor:
    """Matrices (…, 3, 3) that turn about x, then y, then z by angles (…, 3) in radians."""
    cos, sin = angles.cos().unbind(-1), angles.sin().unbind(-1)
    one, zero = torch.ones_like(cos[0]), torch.zeros_like(cos[0])

    def matrix(*entries: Tensor) -> Tensor:
        return torch.stack(entries, dim=-1).unflatten(-1, (3, 3))

    x = matrix(one, zero, zero, zero, cos[0], -sin[0], zero, sin[0], cos[0])
    y = matrix(cos[1], zero, sin[1], zero, one, zero, -sin[1], zero, cos[1])
    z = matrix(cos[2], -sin[2], zero, sin[2], cos[2], zero, zero, zero, one)
    return z @ y @ x


def pixels_as_coded(draws: Draws, tag: str, x: Tensor) -> Tensor:
    """Poses (N, 3, V, M) as images of height 1 whose pixels are the joints, turned and mirrored.

    The whole batch alike, by up to ten degrees: joints far from the middle one fall out of the
    image (zeros), the others stay; half the time their order is reversed. Draws shared `TAG/turn`
    and `TAG/mirror`.
    """
    joints = x.shape[2]
    angle = (2 * draws.shared(f"{tag}/turn") - 1) * math.radians(TURN)
    distance = (torch.arange(joints, device=x.device) - (joints - 1) / 2).abs()
    kept = x * (distance * angle.sin().abs() <= 0.5)[:, None]
    return torch.where(draws.shared(f"{tag}/mirror") < 0.5, kept.flip(2), kept)
