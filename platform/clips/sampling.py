"""Which frames of a recording make its clip: one of each of L equal bins.

Source: open-mmlab/mmaction2, UniformSampleFrames, as zoranadozdor/SVdata2vec calls it for the
pictures and for the poses. N recordings of F_i frames, L frames of the clip.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

from skelray.platform.method.draws import Draws

_SEED = 255  # of NumPy's legacy generator, with which mmaction2 begins each test recording


def random_frames(count: Tensor, length: int, draws: Draws, tag: str) -> Tensor:
    """(N, L) int64: a random frame of each bin.

    A recording of fewer than L frames begins anywhere and goes round; one of fewer than 2L leaves
    out none or one between neighbours, so that no frame is taken twice.

    Args:
        count: (N,) int64, the recordings' frames F.
        length: L.
        draws: of these recordings.
        tag: names this use of them.
    """
    steps = torch.arange(length, device=count.device)
    each = draws.uniform(f"{tag}/frame", length)
    start = (draws.uniform(f"{tag}/start") * count).long()
    wrapped = (start[:, None] + steps) % count[:, None]
    # of L + 1 gaps, before, between and after, F - L are taken
    order = draws.permutation(f"{tag}/gap", length + 1)
    gaps = (order < (count - length)[:, None]).long().cumsum(dim=1)[:, :length]
    edges = _edges(count, length)
    in_bin = edges[:, :-1] + (each * edges.diff(dim=1)).long()
    few, many = (count < length)[:, None], (count >= 2 * length)[:, None]
    return torch.where(few, wrapped, torch.where(many, in_bin, steps + gaps))


def central_frames(count: Tensor, length: int) -> Tensor:
    """(N, L) int64: the middle of each bin; a frame comes again where there are fewer than L."""
    steps = torch.arange(length, device=count.device)
    return (2 * steps + 1) * count[:, None] // (2 * length)


def seeded_frames(count: Tensor, length: int) -> Tensor:
    """(N, L) int64: mmaction2's test clip, the same draw for all recordings of a length."""
    rows = [_seeded(frames, length) for frames in count.tolist()]
    return torch.tensor(np.stack(rows), device=count.device)


def _edges(count: Tensor, length: int) -> Tensor:
    """(N, L + 1): bin i is edges[i] <= frame < edges[i + 1]."""
    return torch.arange(length + 1, device=count.device) * count[:, None] // length


@cache
def _seeded(count: int, length: int) -> np.ndarray:
    generator = np.random.RandomState(_SEED)
    generator.uniform(1, 1)  # mmaction2 draws the clip's share of the recording: all of it
    generator.randint(0, 1)  # and where it begins: at the start
    steps = np.arange(length)
    if count < length:
        return steps % count
    if count < 2 * length:
        left_out = generator.choice(length + 1, count - length, replace=False)
        gaps = np.zeros(length + 1, dtype=np.int64)
        gaps[left_out] = 1
        return steps + np.cumsum(gaps)[:-1]
    edges = np.arange(length + 1) * count // length
    drawn: np.ndarray = edges[:-1] + generator.randint(np.diff(edges))
    return drawn
