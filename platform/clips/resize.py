"""Bilinear resizing of pictures: in floating point, or in OpenCV's integers to the last bit."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

_BITS = 11  # of OpenCV's weights; two of them are multiplied, so 22 bits are taken off at the end


def resize(frames: Tensor, height: int, width: int) -> Tensor:
    """(T, H, W, 3) to (T, height, width, 3) float32: half-pixel centres, no antialiasing."""
    moved = frames.movedim(-1, 1).float()
    if moved.shape[-2:] != (height, width):
        moved = interpolate(moved, (height, width), mode="bilinear", align_corners=False)
    return moved.movedim(1, -1)


def resize_as_opencv(frames: Tensor, height: int, width: int) -> Tensor:
    """(T, H, W, 3) uint8 to (T, height, width, 3) uint8, as `cv2.resize` with INTER_LINEAR.

    Source: opencv/opencv, modules/imgproc/src/resize.cpp: rows first, then columns, whose products
    lose 4 and 16 bits before they are added.
    """
    if frames.shape[1:3] == (height, width):
        return frames
    left, right, left_weight, right_weight = _taps(frames.shape[2], width, frames.device)
    # beyond the first and last column the weights are 1 and 0, but not beyond the rows
    outside = left == right
    left_weight = torch.where(outside, 2**_BITS, left_weight)
    right_weight = torch.where(outside, 0, right_weight)
    pictures = frames.int()
    rows = pictures[:, :, left] * left_weight[:, None]
    rows = (rows + pictures[:, :, right] * right_weight[:, None]) >> 4
    above, below, upper, lower = _taps(frames.shape[1], height, frames.device)
    high = (rows[:, above] * upper[:, None, None]) >> 16
    low = (rows[:, below] * lower[:, None, None]) >> 16
    return ((high + low + 2) >> 2).clamp(0, 255).to(torch.uint8)


def _taps(size: int, wanted: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Both neighbours (wanted,) of each new place, and their weights, which sum to 2048."""
    scale = 1.0 / (wanted / size)
    place = ((torch.arange(wanted, dtype=torch.float64) + 0.5) * scale - 0.5).float()
    before = place.floor()
    share = place - before
    weights = [(one * 2**_BITS).round().int() for one in (1 - share, share)]
    neighbours = [(before.long() + one).clamp(0, size - 1) for one in (0, 1)]
    left, right, first, second = (part.to(device) for part in (*neighbours, *weights))
    return left, right, first, second
