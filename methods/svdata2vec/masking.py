"""Which tokens the student sees. Shapes: N clips, T frames, K of them kept, D a token's width.

Source: zoranadozdor/SVdata2vec, model_svdata2vec/transformer.py, random_masking.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


def kept_of(count: int, masked: float) -> int:
    """How many of `count` tokens are kept: 13 of 40 at 0.66, and 3 of these 13 at 0.75."""
    return int(count * (1 - masked))


@dataclass(frozen=True)
class Masks:
    """What the student sees of N clips."""

    video: Tensor  # (N, K) int64: the frames whose picture is kept, in a random order
    skeleton: Tensor  # (N, K) bool: of these frames, where the skeleton is kept too
    restore: Tensor  # (N, T) int64: each frame's place among kept, then masked ones
    predicted: Tensor  # (N, T) bool: the skeleton of the frame was not seen


def masks(video_noise: Tensor, skeleton_noise: Tensor, skeletons: int) -> Masks:
    """The K frames of the smallest noise, and the `skeletons` of these with the smallest noise.

    Args:
        video_noise: (N, T).
        skeleton_noise: (N, K), of the frames kept in their random order.
        skeletons: how many of the K skeletons are kept.
    """
    order = video_noise.argsort(dim=1, stable=True)
    kept = order[:, : skeleton_noise.shape[1]]
    seen = skeleton_noise.argsort(dim=1, stable=True)[:, :skeletons]
    skeleton = torch.zeros_like(kept, dtype=torch.bool).scatter(1, seen, True)
    predicted = torch.ones_like(order, dtype=torch.bool).scatter(1, kept, ~skeleton)
    return Masks(kept, skeleton, order.argsort(dim=1), predicted)


def rows_of(x: Tensor, index: Tensor) -> Tensor:
    """The tokens (N, K, D) of (N, T, D) at the places `index` (N, K)."""
    return x.gather(1, index[..., None].expand(-1, -1, x.shape[-1]))
