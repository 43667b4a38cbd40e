"""Joints in the pictures of a clip: from where poses were found to the pixels a network sees."""

from __future__ import annotations

import torch
from torch import Tensor

from skelray.platform.method.batch import Batch, Ragged


def chosen_joints(poses: Ragged, frames: Tensor, picture: Tensor) -> Tensor:
    """(N, M, T, V, 2): the joints of these frames, in pixels of pictures of another size.

    Args:
        poses: of `pose_2d`; where they do not say how large their pictures were, as large as these.
        frames: (N, T) int64, of each recording.
        picture: (N, 2) int64, height and width.
    """
    chosen = poses.frames[poses.offsets[:-1, None] + frames]  # (N, T, M, V, 2)
    found = torch.stack([poses.scalars["width"], poses.scalars["height"]], dim=1)
    wanted = picture.flip(1).to(found)
    scale = torch.where(found > 0, wanted / found, 1)
    return chosen.transpose(1, 2) * scale[:, None, None, None]


def to_box(joints: Tensor, box: Tensor, size: Tensor) -> Tensor:
    """Joints (N, M, T, V, 2) in pixels of a box that was cut out and resized.

    Coordinates of 0 are missing and stay 0.

    Args:
        joints: pixels of the whole picture.
        box: (N, 4) left, top, right, bottom.
        size: (N, 2) or (2,), width and height that the box was resized to.
    """
    corner, sides = box[:, :2], box[:, 2:] - box[:, :2]
    scale = size / sides
    moved = (joints - corner[:, None, None, None]) * scale[:, None, None, None]
    return torch.where(joints != 0, moved, 0).float()


def joints_in_clip(batch: Batch, field: str) -> Tensor:
    """(N, M, T, V, 2) float32: the joints in pixels of the batch's clips."""
    assert batch.clip is not None
    assert batch.pose_index is not None
    assert batch.clip_box is not None
    assert batch.clip_hw is not None
    joints = chosen_joints(batch.skeletons[field], batch.pose_index, batch.clip_hw)
    size = torch.tensor(batch.clip.shape[2:4]).flip(0).to(joints)
    return to_box(joints, batch.clip_box, size)
