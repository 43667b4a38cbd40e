"""`pose_2d`: poses and scores as released."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from skelray.platform.dataset import SkeletonSample
from skelray.platform.errors import DataError
from skelray.platform.preprocessing import Preprocessing
from skelray.platform.skeleton.specs import COCO, KINECT_V2


def poses(bodies: list[int], *, scored: bool = True) -> SkeletonSample:
    generator = np.random.default_rng(0)
    count = sum(bodies)
    return SkeletonSample(
        id="poses",
        frame_bodies=np.array(bodies, dtype=np.int32),
        xyz=generator.uniform(1, 1920, size=(count, 17, 2)).astype(np.float32),
        score=generator.random((count, 17), dtype=np.float32) if scored else None,
    )


def slow_reading(sample: SkeletonSample, persons: int) -> tuple[np.ndarray, np.ndarray]:
    assert sample.score is not None
    frames = np.zeros((sample.frames, persons, 17, 2), dtype=np.float32)
    score = np.zeros((sample.frames, persons, 17), dtype=np.float32)
    body = 0
    for t in range(sample.frames):
        for m in range(sample.frame_bodies[t]):
            if m < persons:
                frames[t, m], score[t, m] = sample.xyz[body], sample.score[body]
            body += 1
    return frames, score


@pytest.mark.parametrize("persons", [1, 2, 4])
@pytest.mark.parametrize(
    "bodies",
    [[1] * 9, [0, 0, 2, 2], [1, 0, 2, 1], [3, 2, 1], [1], [2] * 400],
    ids=["one", "empty first", "gap", "three", "one frame", "400 frames"],
)
def test_equals_the_slow_reading(bodies: list[int], persons: int) -> None:
    sample = poses(bodies)
    done = Preprocessing(name="pose_2d", parameters={"persons": persons})(sample, COCO)
    frames, score = slow_reading(sample, persons)
    np.testing.assert_array_equal(done.frames, frames)
    np.testing.assert_array_equal(done.score, score)
    assert done.frames.dtype == done.score.dtype == np.float32
    assert done.length == len(bodies)
    assert done.present.sum(axis=1).tolist() == [min(count, persons) for count in bodies]


def test_a_place_of_zeros_is_nobody_and_scores_may_be_missing() -> None:
    sample = poses([2, 2], scored=False)
    sample.xyz[1] = 0
    done = Preprocessing(name="pose_2d")(sample, COCO)
    assert done.present.tolist() == [[True, False], [True, True]]
    assert done.score is None


def test_the_second_person_stays_the_second_where_the_first_is_absent() -> None:
    sample = replace(poses([2, 1, 1]), body_id=np.array([0, 1, 1, 0]), height=1080, width=1920)
    done = Preprocessing(name="pose_2d")(sample, COCO)
    assert done.present.tolist() == [[True, True], [False, True], [True, False]]
    assert np.array_equal(done.frames[1, 1], sample.xyz[2])
    assert done.scalars == {"height": 1080, "width": 1920}
    assert Preprocessing(name="pose_2d")(poses([1]), COCO).scalars == {"height": 0, "width": 0}


def test_joints_in_space_have_their_places_in_the_colour_picture() -> None:
    generator = np.random.default_rng(1)
    sample = SkeletonSample(
        id="space",
        frame_bodies=np.array([1, 2], dtype=np.int32),
        xyz=generator.normal(size=(3, 25, 3)).astype(np.float32),
        color_xy=generator.uniform(1, 1000, size=(3, 25, 2)).astype(np.float32),
        body_id=np.array([7, 9, 7]),
    )
    assert sample.color_xy is not None
    sample.color_xy[0, 3] = np.nan  # Kinect's for joints that it does not see
    done = Preprocessing(name="pose_2d")(sample, KINECT_V2)
    assert done.frames.shape == (2, 2, 25, 2)
    assert (done.frames[0, 0, 3] == 0).all()
    np.testing.assert_array_equal(done.frames[1], sample.color_xy[[2, 1]])
    with pytest.raises(DataError, match="space: no positions of the joints in the colour picture"):
        Preprocessing(name="pose_2d")(replace(sample, color_xy=None), KINECT_V2)
