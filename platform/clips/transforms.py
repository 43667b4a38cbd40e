"""Augmentations of RGB clips and the joints in them, together, on the training device.

Source: open-mmlab/mmaction2, RandomResizedCrop, Resize, Flip and Normalize, as the configurations
of zoranadozdor/SVdata2vec call them. N clips, T frames of S x S pixels, M persons, V joints. Joints
are in pixels of their clip's pictures, x before y; a joint at (0, 0) is missing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from skelray.platform.clips.resize import resize, resize_as_opencv
from skelray.platform.method.draws import Draws

# of ImageNet, in grey levels, red first
MEAN = (123.675, 116.28, 103.53)
DEVIATION = (58.395, 57.12, 57.375)
_ATTEMPTS = 10  # candidates of a random crop, of which the first that fits is taken


@dataclass(frozen=True, kw_only=True)
class Clip:
    """Pictures and the joints in them."""

    frames: Tensor  # (N, T, S, S, 3) uint8, or float32 in grey levels
    joints: Tensor | None = None  # (N, M, T, V, 2) float32 pixels

    @property
    def size(self) -> int:
        """S, the pictures' side."""
        return self.frames.shape[2]


def random_box(
    draws: Draws,
    size: int,
    *,
    area: tuple[float, float] = (0.56, 1.0),
    aspect: tuple[float, float] = (3 / 4, 4 / 3),
) -> Tensor:
    """(N, 4) int64: a random part of pictures of `size` pixels, the same for a clip's frames.

    Share of the area and ratio of the sides (its logarithm) are uniform. The first of ten that fits
    is placed anywhere; where none does, it is the whole picture.
    """
    low, high = (math.log(value) for value in aspect)
    ratio = draws.uniform("box/aspect", _ATTEMPTS, low=low, high=high).exp()
    pixels = draws.uniform("box/area", _ATTEMPTS, low=area[0], high=area[1]) * size**2
    sides = torch.stack([pixels * ratio, pixels / ratio], dim=-1).sqrt().round().long()
    fits = (sides <= size).all(dim=-1)
    first = fits.long().argmax(dim=1)  # of equal ones the first
    chosen = torch.take_along_dim(sides, first[:, None, None], dim=1)[:, 0]
    chosen = torch.where(fits.any(dim=1, keepdim=True), chosen, size)
    corner = (draws.uniform("box/corner", 2) * (size - chosen + 1)).long()
    return torch.cat([corner, corner + chosen], dim=1)


def crop(
    clip: Clip, boxes: Tensor, size: int, *, as_opencv: bool = False, move_missing: bool = False
) -> Clip:
    """Each clip's box (N, 4), inside its pictures, resized to `size` pixels.

    Args:
        clip: N clips.
        boxes: left, top, right, bottom.
        size: of the new pictures.
        as_opencv: resizes uint8 pictures in OpenCV's integers.
        move_missing: moves missing joints too, as mmaction2 does, so that they are no zeros then.
    """
    change = resize_as_opencv if as_opencv else resize
    frames = torch.stack(
        [
            change(one[:, top:bottom, left:right], size, size)
            for one, (left, top, right, bottom) in zip(clip.frames, boxes.tolist(), strict=True)
        ]
    )
    if clip.joints is None:
        return Clip(frames=frames)
    corner, side = (
        part[:, None, None, None] for part in (boxes[:, :2], boxes[:, 2:] - boxes[:, :2])
    )
    moved = (clip.joints - corner) * (size / side)
    kept = torch.ones_like(moved, dtype=torch.bool) if move_missing else clip.joints != 0
    return Clip(frames=frames, joints=torch.where(kept, moved, 0))


def flip(clip: Clip, which: Tensor, left_right: Sequence[tuple[int, int]]) -> Clip:
    """Mirrors the clips of `which` (N,) bool; their left and right joints change places."""
    frames = torch.where(which[:, None, None, None, None], clip.frames.flip(3), clip.frames)
    if clip.joints is None:
        return replace(clip, frames=frames)
    order = torch.arange(clip.joints.shape[3])
    for left, right in left_right:
        order[left], order[right] = right, left
    x, y = clip.joints.unbind(-1)
    mirrored = torch.stack([torch.where(x != 0, clip.size - x, 0), y], dim=-1)[..., order, :]
    joints = torch.where(which[:, None, None, None, None], mirrored, clip.joints)
    return Clip(frames=frames, joints=joints)


def normalise(frames: Tensor) -> Tensor:
    """Pictures (N, T, S, S, 3) in grey levels as a network's input (N, 3, T, S, S)."""
    mean, deviation = (torch.tensor(one, device=frames.device) for one in (MEAN, DEVIATION))
    return ((frames - mean) / deviation).permute(0, 4, 1, 2, 3)
