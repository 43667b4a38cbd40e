"""Joints follow the box that was cut and resized, by hand."""

from __future__ import annotations

import pytest
import torch

from skelray.platform.clips.joints import chosen_joints, joints_in_clip, to_box
from skelray.platform.method import Batch
from skelray.platform.method.batch import Ragged


def poses(height: float = 100.0, width: float = 200.0) -> Ragged:
    """Two recordings of 3 and 2 frames, one person, two joints; joint 1 is missing."""
    frames = torch.zeros(5, 1, 2, 2)
    frames[:, 0, 0] = torch.tensor([[10.0, 20], [20, 20], [30, 20], [50, 60], [60, 70]])
    return Ragged(
        frames=frames,
        offsets=torch.tensor([0, 3, 5]),
        present=torch.ones(5, 1, dtype=torch.bool),
        length=torch.tensor([3, 2]),
        scalars={"height": torch.tensor([height] * 2), "width": torch.tensor([width] * 2)},
    )


INDEX = torch.tensor([[2, 0], [1, 1]])
PICTURE = torch.tensor([[50, 100], [100, 200]])


def test_joints_are_of_the_frames_chosen_and_of_the_pictures_size() -> None:
    found = chosen_joints(poses(), INDEX, PICTURE)
    assert found.shape == (2, 1, 2, 2, 2)
    assert found[0, 0, :, 0].tolist() == [[15, 10], [5, 10]]  # half as large
    assert found[1, 0, :, 0].tolist() == [[60, 70], [60, 70]]
    assert (found[:, :, :, 1] == 0).all()


def test_poses_without_a_size_are_of_the_pictures() -> None:
    found = chosen_joints(poses(0.0, 0.0), INDEX, PICTURE)
    assert found[0, 0, :, 0].tolist() == [[30, 20], [10, 20]]


def test_boxes_that_are_not_square() -> None:
    joints = torch.tensor([150.0, 100, 0, 0, 100, 300]).view(1, 1, 1, 3, 2)
    found = to_box(joints, torch.tensor([[50, 100, 250, 300]]), torch.tensor([50, 100]))
    assert found[0, 0, 0].tolist() == [[25, 0], [0, 0], [12.5, 100]]


def test_joints_of_a_batch_lie_in_its_clips() -> None:
    batch = Batch(
        index=torch.arange(2),
        id=["a", "b"],
        key=torch.arange(2),
        skeletons={"pose": poses()},
        clip=torch.zeros(2, 2, 40, 40, 3, dtype=torch.uint8),
        clip_index=torch.zeros(2, 2, dtype=torch.int64),
        pose_index=INDEX,
        clip_box=torch.tensor([[5.0, 0, 25, 20], [20, 30, 100, 110]]),
        clip_hw=PICTURE,
        clip_ok=torch.ones(2, dtype=torch.bool),
    )
    found = joints_in_clip(batch, "pose")
    assert found[0, 0, :, 0].tolist() == [[20, 20], [0, 20]]
    assert found[1, 0, 0, 0].tolist() == pytest.approx([20, 20])
