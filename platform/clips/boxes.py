"""Boxes around persons, in pixels: left, top, right, bottom, right and bottom excluded.

Source: open-mmlab/mmaction2, PoseCompact, as zoranadozdor/SVdata2vec changes it (MMCompact).
"""

from __future__ import annotations

import torch
from torch import Tensor

PADDING = 0.1  # of the width and height, half of it at each side
_SMALLEST = 10  # pixels: a narrower or lower box is taken for a mistake


def joints_box(joints: Tensor) -> Tensor:
    """(N, 4) float64: the extent of all joints of all frames; coordinates of 0 are missing ones.

    Args:
        joints: (N, …, 2) pixels; infinite where nothing is there.
    """
    flat = joints.double().flatten(1, -2)
    return _extent(flat, flat)


def frames_box(boxes: Tensor) -> Tensor:
    """(N, 4) float64: the union of all frames' boxes (N, F, 4); coordinates of 0 are missing."""
    flat = boxes.double()
    return _extent(flat[..., :2], flat[..., 2:])


def _extent(low: Tensor, high: Tensor) -> Tensor:
    low = torch.where((low != 0) & low.isfinite(), low, torch.inf)
    high = torch.where((high != 0) & high.isfinite(), high, -torch.inf)
    return torch.cat([low.amin(dim=1), high.amax(dim=1)], dim=1)


def square_box(extent: Tensor, picture: Tensor, padding: float = PADDING) -> Tensor:
    """(N, 4) int64: a square around the extent's middle; it may leave the picture.

    The whole picture where the extent is narrower or lower than ten pixels, or nothing is there.

    Args:
        extent: (N, 4) of `joints_box` or `frames_box`.
        picture: (N, 2) int64, height and width.
        padding: share by which width and height grow before the longer side is taken.
    """
    low, high = extent[:, :2], extent[:, 2:]
    size = high - low
    middle = (high + low) / 2
    half = (size / 2 * (1 + padding)).amax(dim=1, keepdim=True)
    square = torch.cat([middle - half, middle + half], dim=1)
    usable = (size >= _SMALLEST).all(dim=1, keepdim=True)  # false where nothing is there
    whole = torch.cat([torch.zeros_like(picture), picture.flip(1)], dim=1)
    return torch.where(usable, square, whole.double()).trunc().long()
