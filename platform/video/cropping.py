"""Boxes of decoded pictures, resized by OpenCV, on the host: pictures there differ in size."""

from __future__ import annotations

import cv2
import numpy as np

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels, right and bottom excluded


def cut(frames: np.ndarray, box: Box) -> np.ndarray:
    """The box of pictures (…, H, W, 3): black where it leaves them."""
    left, top, right, bottom = box
    inside = frames[..., max(0, top) : max(0, bottom), max(0, left) : max(0, right), :]
    if inside.shape[-3:-1] == (bottom - top, right - left):
        return inside
    padded = np.zeros((*frames.shape[:-3], bottom - top, right - left, 3), np.uint8)
    y, x = max(0, -top), max(0, -left)
    height, width = inside.shape[-3:-1]
    padded[..., y : y + height, x : x + width, :] = inside
    return padded


def resized(
    frames: np.ndarray, size: int, *, shrink_by_area: bool = False, into: np.ndarray | None = None
) -> np.ndarray:
    """(L, H, W, 3) uint8 to (L, `size`, `size`, 3), bilinear as mmcv resizes.

    `shrink_by_area` averages where the pictures get smaller, which keeps what lies between. With
    `into` they are written there.
    """
    changed = np.empty((len(frames), size, size, 3), np.uint8) if into is None else into
    smaller = shrink_by_area and min(frames.shape[1:3]) > size
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    for one, frame in zip(changed, frames, strict=True):
        cv2.resize(frame, (size, size), dst=one, interpolation=how)
    return changed
