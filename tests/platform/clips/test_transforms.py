"""Frames and joints change together, against OpenCV and NumPy, one clip at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from skelray.platform.clips.transforms import (
    Clip,
    crop,
    flip,
    normalise,
    random_box,
)
from skelray.platform.method.draws import Draws

SIZE = 64
PAIRS = [(1, 2), (3, 4)]


def clips(count: int = 3) -> Clip:
    """A bright spot of 3 x 3 pixels around the joint 0 of person 0; person 1 is absent."""
    generator = np.random.default_rng(0)
    joints = generator.uniform(8, SIZE - 8, (count, 2, 4, 5, 2)).round().astype(np.float32)
    joints[:, 1] = 0
    joints[:, 0, :, 4, 1] = 0  # one coordinate alone is missing
    frames = np.full((count, 4, SIZE, SIZE, 3), 20, np.uint8)
    for n, t in np.ndindex(count, 4):
        x, y = joints[n, 0, t, 0].astype(int)
        frames[n, t, y - 2 : y + 2, x - 2 : x + 2] = 250  # its middle is at the joint
    return Clip(frames=torch.from_numpy(frames), joints=torch.from_numpy(joints))


def spots(frames: torch.Tensor) -> torch.Tensor:
    """(N, T, 2): the middle of what is bright, in pixels."""
    weight = (frames.double().mean(dim=-1) - 20).clamp(min=0)
    place = torch.arange(weight.shape[-1], dtype=torch.float64) + 0.5
    x, y = (weight.sum(dim=d) @ place for d in (2, 3))
    return torch.stack([x, y], dim=-1) / weight.sum(dim=(2, 3))[..., None]


def test_random_boxes_are_distributed_as_published() -> None:
    boxes = random_box(Draws(0, 0, torch.arange(20000)), 256).double()
    sides = boxes[:, 2:] - boxes[:, :2]
    assert (boxes >= 0).all()
    assert (boxes <= 256).all()
    area = sides.prod(dim=1) / 256**2
    ratio = (sides[:, 0] / sides[:, 1]).log()
    assert area.min() >= 0.55
    assert ratio.abs().max() <= np.log(4 / 3) + 0.01
    # against the published procedure, which tries candidates until one fits
    generator = np.random.default_rng(0)
    expected = []
    while len(expected) < 20000:
        r = np.exp(generator.uniform(np.log(3 / 4), np.log(4 / 3)))
        a = generator.uniform(0.56, 1.0) * 256**2
        w, h = round(np.sqrt(a * r)), round(np.sqrt(a / r))
        if w <= 256 and h <= 256:
            expected.append((w, h, generator.integers(0, 256 - w + 1)))
    w, h, x = np.array(expected).T
    for found, wanted in ((sides[:, 0], w), (sides[:, 1], h), (boxes[:, 0], x)):
        assert float(found.mean()) == pytest.approx(wanted.mean(), abs=0.8)
        assert float(found.std()) == pytest.approx(wanted.std(), rel=0.03)


def test_a_random_box_where_nothing_fits_is_the_whole_picture() -> None:
    boxes = random_box(Draws(0, 0, torch.arange(5)), 10, area=(1.0, 1.0), aspect=(2.0, 3.0))
    assert boxes.tolist() == [[0, 0, 10, 10]] * 5


def test_joints_stay_on_their_pixels() -> None:
    clip = clips()
    boxes = torch.tensor([[0, 0, 64, 64], [4, 2, 60, 62], [5, 5, 60, 59]])
    cut = crop(clip, boxes, 128)
    assert cut.joints is not None
    for one in (cut, flip(cut, torch.tensor([True, False, True]), [])):
        assert one.joints is not None
        found = spots(one.frames)
        torch.testing.assert_close(found, one.joints[:, 0, :, 0].double(), atol=0.6, rtol=0)


def test_crops_equal_opencv() -> None:
    cv2 = pytest.importorskip("cv2", reason="OpenCV is of the extra [video]")
    clip = clips()
    boxes = torch.tensor([[0, 0, 64, 64], [4, 2, 60, 62], [0, 5, 50, 64]])
    exact = crop(clip, boxes, 32, as_opencv=True)
    close = crop(clip, boxes, 32)
    for n, (left, top, right, bottom) in enumerate(boxes.tolist()):
        for t in range(4):
            frame = clip.frames[n, t].numpy()[top:bottom, left:right]
            expected = cv2.resize(frame, (32, 32))
            np.testing.assert_array_equal(exact.frames[n, t].numpy(), expected)
            np.testing.assert_allclose(close.frames[n, t].numpy(), expected, atol=1)


def test_missing_joints_move_only_as_published() -> None:
    clip = clips()
    boxes = torch.tensor([[4, 2, 60, 62]] * 3)
    assert clip.joints is not None
    kept, moved = (crop(clip, boxes, 56, move_missing=m).joints for m in (False, True))
    assert kept is not None
    assert moved is not None
    missing = clip.joints == 0
    assert (kept[missing] == 0).all()
    assert torch.equal(kept[~missing], moved[~missing])
    expected = (clip.joints - torch.tensor([4.0, 2.0])) * torch.tensor([1.0, 56 / 60])
    torch.testing.assert_close(moved, expected)


def test_flipping_by_hand() -> None:
    clip = Clip(
        frames=torch.arange(6, dtype=torch.uint8).view(1, 1, 1, 6, 1).expand(1, 1, 6, 6, 3),
        joints=torch.tensor([[1.0, 2], [2, 3], [5, 4], [0, 0], [0, 1]]).view(1, 1, 1, 5, 2),
    )
    flipped = flip(clip, torch.tensor([True]), PAIRS)
    assert flipped.frames[0, 0, 0, :, 0].tolist() == [5, 4, 3, 2, 1, 0]
    assert flipped.joints is not None
    assert flipped.joints[0, 0, 0].tolist() == [[5, 2], [1, 4], [4, 3], [0, 1], [0, 0]]
    same = flip(clip, torch.tensor([False]), PAIRS)
    assert torch.equal(same.frames, clip.frames)
    assert same.joints is not None
    assert torch.equal(same.joints, clip.joints)


def test_normalised_pictures_are_the_networks_input() -> None:
    frames = torch.randint(0, 256, (2, 3, 5, 5, 3), dtype=torch.uint8)
    found = normalise(frames)
    assert found.shape == (2, 3, 3, 5, 5)
    mean, deviation = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
    expected = ((frames.numpy() - mean) / deviation).transpose(0, 4, 1, 2, 3)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)
