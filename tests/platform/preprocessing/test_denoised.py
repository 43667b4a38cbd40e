"""`denoised` against a slow reading of SGN's recipe, and by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skelray.platform.dataset import SkeletonSample
from skelray.platform.errors import UsageError
from skelray.platform.preprocessing import Preprocessed, Preprocessing
from skelray.platform.skeleton.specs import COCO, KINECT_V2
from tests.platform.preprocessing import slow_readings
from tests.platform.preprocessing.recordings import (
    EDGE_CASES,
    random_recording,
    real_recordings,
    recording,
)


def prepared(sample: SkeletonSample, **parameters: Any) -> Preprocessed:
    return Preprocessing(name="denoised", parameters=parameters)(sample, KINECT_V2)


def assert_as_published(sample: SkeletonSample) -> None:
    for alone in ("zeros", "copy"):
        done = prepared(sample, alone=alone)
        slow = slow_readings.denoised(sample, copy=alone == "copy")
        assert done.frames.dtype == np.float32
        np.testing.assert_array_equal(done.frames, slow)
        assert done.length == sum(frame.sum() != 0 for frame in slow)


@pytest.mark.parametrize("frames", EDGE_CASES.values(), ids=EDGE_CASES.keys())
def test_edge_cases_equal_the_slow_reading(frames: list[str]) -> None:
    assert_as_published(recording(frames))


@pytest.mark.parametrize("seed", range(20))
def test_random_recordings_equal_the_slow_reading(seed: int) -> None:
    assert_as_published(random_recording(seed))


def test_real_recordings_equal_the_slow_reading(shared: Callable[[str], Path]) -> None:
    for sample in real_recordings(shared("data/ntu_sample")):
        assert_as_published(sample)


def test_frames_without_bodies_are_left_out() -> None:
    sample = recording(["", "a", "a", "", "a", ""])
    done = prepared(sample)
    np.testing.assert_array_equal(done.frames[:, 0], sample.xyz - sample.xyz[0, 1])
    assert done.length == 3
    assert done.present.tolist() == [[True, False]] * 3


def test_a_lone_actor_has_zeros_or_itself_beside_it() -> None:
    sample = recording(["a"] * 5)
    assert not prepared(sample).frames[:, 1].any()
    copied = prepared(sample, alone="copy")
    np.testing.assert_array_equal(copied.frames[:, 1], copied.frames[:, 0])
    assert not copied.present[:, 1].any()


def test_zero_joints_of_the_only_body_are_moved_as_published() -> None:
    sample = recording(["a"] * 3 + ["o"])
    done = prepared(sample)
    np.testing.assert_array_equal(done.frames[3, 0], np.tile(-sample.xyz[0, 1], (25, 1)))
    assert done.present[:, 0].tolist() == [True] * 3 + [False]


def test_ids_that_last_eleven_frames_are_ghosts_and_twelve_are_not() -> None:
    for count, actors in ((11, 1), (12, 2)):
        done = prepared(recording(["ab"] * count + ["a"] * 20))
        assert done.present.any(axis=0).sum() == actors
    twelve = recording(["ab"] * 12 + ["a"] * 20)
    b = twelve.xyz[1:24:2]  # moves more, so that it comes first
    np.testing.assert_array_equal(prepared(twelve).frames[:12, 0], b - b[0, 1])


def test_the_longest_is_kept_where_nobody_lasts() -> None:
    sample = recording(["ab"] * 4 + ["a"] * 3)
    done = prepared(sample)
    a = sample.xyz[[0, 2, 4, 6, 8, 9, 10]]
    np.testing.assert_array_equal(done.frames[:, 0], a - a[0, 1])
    assert not done.present[:, 1].any()


def test_who_lies_in_seven_of_ten_frames_is_a_ghost() -> None:
    mostly = prepared(recording(["aB"] * 14 + ["ab"] * 6))
    assert not mostly.present[:, 1].any()
    often = prepared(recording(["aB"] * 13 + ["ab"] * 7))
    assert often.present.all()


@pytest.mark.parametrize(("width", "actors"), [(0.79, 2), (0.81, 1)])
def test_lying_is_to_be_wider_than_four_fifths_of_the_height(width: float, actors: int) -> None:
    sample = recording(["ab"] * 20)
    b = sample.xyz[1::2]
    b[..., 0] = width * b[..., 1]
    done = prepared(sample)
    assert done.present.any(axis=0).sum() == actors


def test_motion_while_lying_does_not_make_the_first_actor() -> None:
    sample = recording(["aC"] * 10 + ["ac"] * 10)
    sample.xyz[1:20:2, :, 0] += 5  # c lies elsewhere first
    assert_as_published(sample)
    a = sample.xyz[::2]
    np.testing.assert_array_equal(prepared(sample).frames[:, 0], a - a[0, 1])


def test_the_second_actors_span_begins_with_the_recording_as_published() -> None:
    frames = ["d" + "b" * (20 <= t < 36) + "a" * (3 <= t < 19) for t in range(40)]
    done = prepared(recording(frames))
    assert np.flatnonzero(done.present[:, 1]).tolist() == list(range(20, 36))  # a is left out


def test_one_after_the_other_is_one_actor() -> None:
    sample = recording(["a"] * 15 + [""] * 2 + ["b"] * 15)
    done = prepared(sample)
    np.testing.assert_array_equal(done.frames[:, 0], sample.xyz - sample.xyz[0, 1])
    assert not done.frames[:, 1].any()


def test_the_third_at_the_same_time_is_left_out() -> None:
    sample = recording(["abc"] * 20)
    done = prepared(sample)
    a, b, _ = sample.xyz.reshape(20, 3, 25, 3).swapaxes(0, 1)
    np.testing.assert_array_equal(done.frames, np.stack([b, a], axis=1) - b[0, 1])


def test_a_body_that_comes_back_goes_on_where_it_left_or_keeps_its_time() -> None:
    sample = recording(["ab"] * 20 + ["a"] * 5 + ["ab"] * 5)
    assert prepared(sample).present[:, 0].tolist() == [True] * 25 + [False] * 5
    kept = prepared(sample, gaps="keep")
    assert kept.present[:, 0].tolist() == [True] * 20 + [False] * 5 + [True] * 5
    b_last = sample.xyz[-1] - sample.xyz[1, 1]
    np.testing.assert_array_equal(kept.frames[-1, 0], b_last)
    np.testing.assert_array_equal(prepared(sample).frames[24, 0], b_last)


def test_an_id_that_stands_twice_in_a_frame_counts_once() -> None:
    sample = recording(["aa"] * 20)
    done = prepared(sample)
    np.testing.assert_array_equal(done.frames[:, 0], sample.xyz[::2] - sample.xyz[0, 1])


def test_without_ids_people_keep_their_places() -> None:
    sample = recording(["ab"] * 20)
    nameless = replace(sample, body_id=None)
    np.testing.assert_array_equal(prepared(nameless).frames, prepared(sample).frames)


def test_nothing_but_zeros_has_length_zero() -> None:
    for frames in (["x"] * 5, ["xx"] * 5):
        sample = replace(recording(frames), body_id=None)
        done = prepared(sample)
        assert done.length == 0
        assert len(done.frames) >= 1
        assert not done.frames.any()


def test_a_skeleton_without_a_spine_is_refused() -> None:
    with pytest.raises(UsageError, match="coco has no spine"):
        Preprocessing(name="denoised")(recording(["a"]), COCO)
