"""Frames of clips, against the published rule written out one recording at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from skelray.platform.clips.sampling import central_frames, random_frames, seeded_frames
from skelray.platform.method.draws import Draws

COUNTS = torch.tensor([1, 3, 7, 8, 9, 12, 15, 16, 17, 40, 103])
LENGTH = 8


def drawn(epoch: int = 0) -> torch.Tensor:
    draws = Draws(0, epoch, torch.arange(len(COUNTS)))
    return random_frames(COUNTS, LENGTH, draws, "frames")


def published(count: int, length: int) -> np.ndarray:
    """mmaction2, UniformSampleFrames in test mode with one clip, on the global generator."""
    state = np.random.get_state()
    np.random.seed(255)
    np.random.uniform(1, 1)
    np.random.randint(0, 1)
    if count < length:
        chosen = np.arange(0, length)
    elif count < 2 * length:
        basic = np.arange(length)
        inds = np.random.choice(length + 1, count - length, replace=False)
        offset = np.zeros(length + 1, dtype=np.int32)
        offset[inds] = 1
        chosen = basic + np.cumsum(offset)[:-1]
    else:
        bids = np.array([i * count // length for i in range(length + 1)])
        bsize = np.diff(bids)
        chosen = bids[:length] + np.random.randint(bsize)
    np.random.set_state(state)
    return np.mod(chosen, count)


def test_random_frames_follow_the_rule_of_their_length() -> None:
    for epoch in range(50):
        for count, row in zip(COUNTS.tolist(), drawn(epoch).tolist(), strict=True):
            assert min(row) >= 0
            assert max(row) < count
            if count < LENGTH:
                assert row == [(row[0] + i) % count for i in range(LENGTH)]
            elif count < 2 * LENGTH:
                assert set(np.diff(row)) <= {1, 2}
                assert row[0] in (0, 1)
            else:
                bins = [i * count // LENGTH for i in range(LENGTH + 1)]
                assert all(a <= frame < b for a, frame, b in zip(bins, row, bins[1:], strict=False))


def test_every_allowed_frame_is_drawn() -> None:
    seen: dict[int, set[int]] = {count: set() for count in COUNTS.tolist()}
    for epoch in range(400):
        for count, row in zip(COUNTS.tolist(), drawn(epoch).tolist(), strict=True):
            seen[count] |= set(row)
    assert all(frames == set(range(count)) for count, frames in seen.items())


def test_gaps_are_equally_likely() -> None:
    keys = torch.arange(20000)
    rows = random_frames(torch.full_like(keys, 10), LENGTH, Draws(1, 0, keys), "frames")
    # 2 of 9 gaps are left out: the first frame is missing in 2 of 9 recordings
    assert float((rows[:, 0] == 1).float().mean()) == pytest.approx(2 / 9, abs=0.01)


def test_draws_differ_by_tag_and_repeat_for_the_same() -> None:
    draws = Draws(0, 0, torch.arange(len(COUNTS)))
    a, b = (random_frames(COUNTS, LENGTH, draws, tag) for tag in ("pictures", "poses"))
    assert torch.equal(a, random_frames(COUNTS, LENGTH, draws, "pictures"))
    assert not torch.equal(a, b)


def test_seeded_frames_are_the_published_test_clip() -> None:
    found = seeded_frames(COUNTS, LENGTH).numpy()
    for count, row in zip(COUNTS.tolist(), found, strict=True):
        np.testing.assert_array_equal(row, published(count, LENGTH), err_msg=str(count))


def test_central_frames_are_the_middles() -> None:
    assert central_frames(torch.tensor([16, 8, 4, 1]), 4).tolist() == [
        [2, 6, 10, 14],
        [1, 3, 5, 7],
        [0, 1, 2, 3],
        [0, 0, 0, 0],
    ]
