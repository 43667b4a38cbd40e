"""`energy_ranked` against a slow reading of the three published recipes, and by hand."""

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
from skelray.platform.skeleton.specs import COCO, KINECT_V1, KINECT_V2, SMARTHOME15
from tests.platform.preprocessing import slow_readings
from tests.platform.preprocessing.recordings import (
    EDGE_CASES,
    random_recording,
    real_recordings,
    recording,
)

UNTURNED = {"spine": False, "shoulders": False}


def prepared(sample: SkeletonSample, **parameters: Any) -> Preprocessed:
    return Preprocessing(name="energy_ranked", parameters=parameters)(sample, KINECT_V2)


def assert_as_published(sample: SkeletonSample) -> None:
    """Skeleton-Contrast, UmURL (no turn of the spine), both without turns, and LSTCL."""
    held = min(sample.frames, 300)
    bodies = slow_readings.two_most_energetic(sample)
    for parameters in ({}, {"spine": False}, UNTURNED):
        done = prepared(sample, **parameters)
        slow = slow_readings.energy_ranked(bodies, repeat="before", **parameters)
        assert done.frames.dtype == np.float32
        assert done.frames.shape == (held, 2, 25, 3)
        assert done.length == held
        np.testing.assert_allclose(done.frames, slow, rtol=0, atol=1e-6)
        if parameters is UNTURNED:
            np.testing.assert_array_equal(done.frames, slow)
        np.testing.assert_array_equal(done.present, np.any(done.frames != 0, axis=(2, 3)))
    closed = prepared(sample, gaps="close")
    slow = slow_readings.energy_ranked(bodies, repeat="after")
    np.testing.assert_allclose(repeated(closed), slow, rtol=0, atol=1e-6)


def repeated(done: Preprocessed) -> np.ndarray:
    """300 frames from closed ones, as LSTCL's feeder repeats them."""
    frames = np.zeros((300, 2, 25, 3), dtype=np.float32)
    for person in range(2):
        length = int(done.scalars[f"length_{person}"])
        for t in range(300 if length else 0):
            frames[t, person] = done.frames[t % length, person]
    return frames


@pytest.mark.parametrize("frames", EDGE_CASES.values(), ids=EDGE_CASES.keys())
def test_edge_cases_equal_the_slow_reading(frames: list[str]) -> None:
    assert_as_published(recording(frames))


@pytest.mark.parametrize("seed", range(8))
def test_random_recordings_equal_the_slow_reading(seed: int) -> None:
    assert_as_published(random_recording(seed))


def test_real_recordings_equal_the_slow_reading(shared: Callable[[str], Path]) -> None:
    for sample in real_recordings(shared("data/ntu_sample")):
        assert_as_published(sample)


def test_the_most_energetic_comes_first() -> None:
    sample = recording(["abc"] * 30)
    done = prepared(sample, **UNTURNED)
    a, b, _ = sample.xyz.reshape(30, 3, 25, 3).swapaxes(0, 1)
    np.testing.assert_array_equal(done.frames[:, 0], b - b[:, 1:2])
    np.testing.assert_array_equal(done.frames[:, 1], a - b[:, 1:2])


def test_late_bodies_move_to_the_front_and_all_are_repeated() -> None:
    sample = recording(["", "", "b", "b", "bd", "bd", ""])
    done = prepared(sample, **UNTURNED)
    b, d = sample.xyz[[0, 1, 2, 4]], sample.xyz[[3, 5]]
    moved = np.stack([d[[0, 1, 0, 1, 0, 1, 0]], b[[0, 1, 2, 3, 0, 1, 2]]], axis=1)
    np.testing.assert_array_equal(done.frames, moved - moved[:, :1, 1:2])
    assert done.length == 7
    assert done.scalars == {"begin": 2, "end": 6, "length_0": 2, "length_1": 4}


def test_the_first_frame_stands_along_z_with_its_shoulders_along_x() -> None:
    sample = recording(["a"] * 20)
    upright = prepared(sample, shoulders=False).frames[0, 0]
    spine = upright[1] - upright[0]
    np.testing.assert_allclose(spine[:2], 0, atol=1e-6)
    assert spine[2] > 0
    across = prepared(sample).frames[0, 0]
    shoulders = across[8] - across[4]
    np.testing.assert_allclose(shoulders[1:], 0, atol=1e-6)
    assert shoulders[0] > 0
    before = np.linalg.norm(sample.xyz[:, :, None] - sample.xyz[:, None], axis=-1)
    after = prepared(sample).frames[:, 0]
    after = np.linalg.norm(after[:, :, None] - after[:, None], axis=-1)
    np.testing.assert_allclose(after, before, atol=1e-5)  # no one is bent or scaled


def test_closed_frames_tell_the_recordings_span_and_each_ones_length() -> None:
    done = prepared(recording(["", "", "ab", "ab", "", "a", "a", "a", ""]), gaps="close")
    assert done.length == 6
    assert done.scalars == {"begin": 2, "end": 8, "length_0": 2, "length_1": 5}
    assert done.present[:, 0].tolist() == [True] * 2 + [False] * 7
    assert done.present[:, 1].tolist() == [True] * 5 + [False] * 4


def test_dropping_empty_frames_keeps_the_common_time() -> None:
    sample = recording(["", "b", "bd", "", "d", "bd", ""])
    done = prepared(sample, gaps="drop", bodies="id", **UNTURNED)
    assert done.length == len(done.frames) == 4
    assert done.scalars == {"begin": 1, "end": 6}
    assert done.present[:, 0].tolist() == [False, True, True, True]  # d
    assert done.present[:, 1].tolist() == [True, True, False, True]  # b


def test_ids_follow_people_who_change_places_in_the_list() -> None:
    straight = recording(["bd"] * 30)
    order = np.arange(60).reshape(30, 2)
    order[10:20] = order[10:20, ::-1]
    swapped = replace(
        straight, xyz=straight.xyz[order.ravel()], body_id=straight.body_id[order.ravel()]
    )
    wanted = prepared(straight).frames
    np.testing.assert_array_equal(prepared(swapped, bodies="id").frames, wanted)
    assert np.abs(prepared(swapped).frames - wanted).max() > 0.1  # slots swap, as published


def test_one_origin_for_the_recording_keeps_how_people_walk() -> None:
    sample = recording(["", "b", "ab", "ab"])
    done = prepared(sample, gaps="drop", centre="first_seen", bodies="id", **UNTURNED)
    np.testing.assert_array_equal(done.frames[:, 0], sample.xyz[[0, 2, 4]] - sample.xyz[0, 1])
    np.testing.assert_array_equal(done.frames[1:, 1], sample.xyz[[1, 3]] - sample.xyz[0, 1])


def test_turns_by_the_first_frame_with_the_first_person_where_asked() -> None:
    sample = recording(["", "", *["a"] * 10])
    as_published = prepared(sample, gaps="close").frames
    np.testing.assert_array_equal(as_published, prepared(sample, gaps="close", **UNTURNED).frames)
    turned = prepared(sample, gaps="close", turn="first_seen").frames
    shoulders = turned[0, 0, 8] - turned[0, 0, 4]
    np.testing.assert_allclose(shoulders[1:], 0, atol=1e-6)
    assert shoulders[0] > 0


def test_frames_beyond_the_limit_are_cut_after_the_ranking() -> None:
    sample = recording(["ab"] * 300 + ["d"] * 300)
    assert prepared(sample).length == 300
    assert prepared(sample, max_frames=None).length == 600
    assert prepared(sample, max_frames=50).frames.shape[0] == 50
    first = prepared(sample, **UNTURNED).frames[:, 0]
    np.testing.assert_array_equal(first, sample.xyz[:600:2] - sample.xyz[:600:2, 1:2])


def test_skeletons_without_a_spine_or_in_a_plane_are_refused() -> None:
    flat = SkeletonSample(id="flat", frame_bodies=np.ones(3, np.int32), xyz=np.ones((3, 15, 2)))
    with pytest.raises(UsageError, match="coco has 2 dimensions: set spine=false shoulders=false"):
        Preprocessing(name="energy_ranked")(flat, COCO)
    with pytest.raises(UsageError, match="coco has no spine"):
        Preprocessing(name="energy_ranked", parameters=UNTURNED)(flat, COCO)
    pixels = replace(SMARTHOME15, dimensions=2, unit="pixel")
    done = Preprocessing(name="energy_ranked", parameters=UNTURNED)(flat, pixels)
    assert done.frames.shape == (3, 2, 15, 2)


def test_other_skeletons_are_centred_on_their_own_mid_spine() -> None:
    generator = np.random.default_rng(0)
    xyz = generator.normal(size=(9, 20, 3)).astype(np.float32)
    sample = SkeletonSample(id="v1", frame_bodies=np.ones(9, np.int32), xyz=xyz)
    done = Preprocessing(name="energy_ranked")(sample, KINECT_V1)
    assert not done.frames[:, 0, KINECT_V1.joints.index("spine")].any()
