"""Boxes around persons, against the published rule written out one recording at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from skelray.platform.clips.boxes import frames_box, joints_box, square_box

PICTURE = torch.tensor([[540, 960]])


def published(joints: np.ndarray, height: int, width: int) -> tuple[int, ...]:
    """MMCompact with padding 0.1, hw_ratio 1, allow_imgpad, threshold 10."""
    x, y = joints[..., 0], joints[..., 1]
    x, y = x[x != 0], y[y != 0]
    if not len(x) or not len(y):
        return (0, 0, width, height)
    if x.max() - x.min() < 10 or y.max() - y.min() < 10:
        return (0, 0, width, height)
    centre = ((x.max() + x.min()) / 2, (y.max() + y.min()) / 2)
    half_width = (x.max() - x.min()) / 2 * 1.1
    half_height = (y.max() - y.min()) / 2 * 1.1
    half_height = max(half_width, half_height)
    half_width = max(half_height, half_width)
    low = (centre[0] - half_width, centre[1] - half_height)
    high = (centre[0] + half_width, centre[1] + half_height)
    return tuple(int(value) for value in (*low, *high))


def test_joints_boxes_equal_the_published() -> None:
    generator = np.random.default_rng(0)
    for trial in range(200):
        joints = generator.uniform(1, 500, (2, 3, 5, 2)) * generator.choice([0.02, 0.3, 1.0])
        joints += generator.uniform(0, 300, 2)
        joints[generator.random(joints.shape) < 0.3] = 0  # each coordinate on its own
        if trial % 5 == 0:
            joints[1] = 0  # an absent second person
        if trial % 50 == 0:
            joints[:] = 0
        found = square_box(joints_box(torch.tensor(joints)[None]), PICTURE)
        assert tuple(found[0].tolist()) == published(joints, 540, 960), trial


def test_a_box_by_hand() -> None:
    # 40 wide, 80 high: half of 80 * 1.1 around (120, 140)
    joints = torch.tensor([[[100.0, 100.0], [140.0, 180.0], [0.0, 0.0]]])
    assert square_box(joints_box(joints), PICTURE).tolist() == [[76, 96, 164, 184]]
    # around (20.5, 140): corners are cut toward zero, outside the picture too
    beside = torch.tensor([[[0.5, 100.0], [40.5, 180.0], [0.0, 0.0]]])
    assert square_box(joints_box(beside), PICTURE).tolist() == [[-23, 96, 64, 184]]


def test_whole_picture_where_nothing_usable_is_there() -> None:
    nothing = torch.zeros(3, 4, 2)
    nothing[1, 0] = torch.tensor([5.0, 6.0])  # one joint: no extent
    nothing[2, :2] = torch.tensor([[1.0, 1.0], [300.0, 9.0]])  # 8 pixels high
    found = square_box(joints_box(nothing), PICTURE.expand(3, 2))
    assert found.tolist() == [[0, 0, 960, 540]] * 3


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf, -torch.inf])
def test_joints_that_are_no_numbers_are_missing(wrong: float) -> None:
    joints = torch.tensor([[[100.0, 100.0], [140.0, 180.0], [wrong, wrong]]])
    assert square_box(joints_box(joints), PICTURE).tolist() == [[76, 96, 164, 184]]


def test_detector_boxes_are_united_over_the_frames() -> None:
    boxes = torch.tensor([[[0.0, 0, 0, 0], [100, 100, 130, 170], [110, 105, 140, 180]]])
    assert frames_box(boxes).tolist() == [[100, 100, 140, 180]]
    assert square_box(frames_box(boxes), PICTURE).tolist() == [[76, 96, 164, 184]]
    assert square_box(frames_box(boxes * 0), PICTURE).tolist() == [[0, 0, 960, 540]]
