"""Which bodies an array holds: absent ones, lost joints, scores, and shapes that do not fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from skelray.platform.errors import DataError
from skelray.platform.importing.frames import Layout, bodies_of
from skelray.platform.skeleton.specs import COCO, KINECT_V1

NAN = np.nan
FLAT = Layout(skeleton=COCO)
DEEP = Layout(skeleton=KINECT_V1)


def array(*shape: int) -> np.ndarray:
    """Different numbers, none of them zero."""
    return np.arange(1.0, 1.0 + np.prod(shape)).reshape(shape) / 7


def test_one_body_in_every_frame() -> None:
    values = array(4, 20, 3)
    found = bodies_of(values, None, DEEP, "a.npy")
    assert found.frame_bodies.tolist() == [1, 1, 1, 1] and found.frame_bodies.dtype == np.int32
    np.testing.assert_array_equal(found.xyz, values.astype(np.float32))
    assert found.xyz.dtype == np.float32
    assert found.joint_state is None and found.score is None


@pytest.mark.parametrize("nothing", [0.0, NAN])
def test_absent_bodies_are_left_out_and_places_kept(nothing: float) -> None:
    values = array(5, 3, 20, 3)
    values[0] = nothing  # nobody
    values[1, 1:] = nothing  # the first alone
    values[2, 0] = nothing  # the second and third
    values[3, 2] = nothing
    found = bodies_of(values, None, DEEP, "a.npy")
    assert found.frame_bodies.tolist() == [0, 1, 3, 2, 3]
    expected = [values[1, 0], np.zeros((20, 3)), *values[2, 1:], *values[3, :2], *values[4]]
    np.testing.assert_array_equal(found.xyz, np.float32(expected))
    assert found.joint_state is not None
    assert found.joint_state.dtype == np.int8
    assert (found.joint_state == 0).all(axis=1).tolist() == [False, True, *[False] * 7]
    assert (np.delete(found.joint_state, 1, axis=0) == 2).all()


def test_a_joint_without_all_its_coordinates_is_lost() -> None:
    values = array(3, 20, 3)
    values[1, 4, 2] = NAN
    values[2, 5] = 0.0  # a number: the file says that it is there
    found = bodies_of(values, None, DEEP, "a.npy")
    assert found.xyz[1, 4].tolist() == [0, 0, 0] and found.joint_state is not None
    assert np.argwhere(found.joint_state != 2).tolist() == [[1, 4]]
    assert found.joint_state[1, 4] == 0
    kept = np.ones((3, 20), dtype=bool)
    kept[1, 4] = False
    np.testing.assert_array_equal(found.xyz[kept], np.float32(values[kept]))


def test_scores_beside_the_array_and_in_it_are_the_same() -> None:
    values, score = array(3, 2, 17, 2), np.linspace(0, 1, 3 * 2 * 17).reshape(3, 2, 17)
    values[0, 1] = NAN
    values[1, 0, 3] = NAN
    score[1, 0, 3] = NAN  # of a lost joint nobody asks
    beside = bodies_of(values, score, FLAT, "a.npz")
    inside = bodies_of(
        np.concatenate([values, score[..., None]], axis=-1),
        None,
        replace(FLAT, scored=True),
        "a.npy",
    )
    for one, other in zip(beside, inside, strict=True):
        np.testing.assert_array_equal(one, other)
    assert beside.score is not None and beside.score.shape == (5, 17)
    assert beside.score[1, 3] == 0
    np.testing.assert_array_equal(beside.score[2], np.float32(score[1, 1]))


REFUSED = {
    "joints": (array(7, 5, 3), None, r"array is \(7, 5, 3\), expected \(T, 20, 3\) or \(T, pers"),
    "text": (np.array([["a"]]), None, r"the array holds <U1 values, expected numbers"),
    "yes or no": (np.ones((2, 20, 3), bool), None, "the array holds bool values"),
    "complex": (np.ones((2, 20, 3), complex), None, "the array holds complex128"),
    "channels first": (array(3, 9, 20, 1), None, r"save array\.transpose\(1, 3, 2, 0\)"),
    "flat": (array(9, 60), None, r"save array\.reshape\(-1, 20, 3\)"),
    "one number more": (array(9, 20, 4), None, "set scored = True in the class"),
    "a scalar": (np.float64(1.0), None, r"the array is \(\), expected"),
    "score": (array(4, 20, 3), array(4, 19), r"score is \(4, 1, 19\), expected \(4, 1, 20\)"),
    "score of text": (array(4, 20, 3), np.full((4, 20), "a"), "the score holds <U1 values"),
    "score that is none": (array(1, 20, 3), np.full((1, 20), NAN), "score is not a finite number"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_named(case: str) -> None:
    values, score, expected = REFUSED[case]
    with pytest.raises(DataError, match=f"^a.npy: .*{expected}"):
        bodies_of(np.asarray(values), score, DEEP, "a.npy")


@pytest.mark.parametrize("number", [np.inf, -np.inf, 1e39])
def test_an_infinite_coordinate_is_named(number: float) -> None:
    values = array(4, 2, 20, 3)
    values[2, 1, 3, 1] = number
    with pytest.raises(DataError, match=r"a\.npy: frame 2, person 1, joint 'head': y is infinite"):
        bodies_of(values, None, DEEP, "a.npy")


def test_no_frames_and_nobody_are_left_to_the_store() -> None:
    assert bodies_of(np.empty((0, 20, 3)), None, DEEP, "a.npy").frame_bodies.tolist() == []
    empty = bodies_of(np.zeros((3, 20, 3)), None, DEEP, "a.npy")
    assert empty.frame_bodies.tolist() == [0, 0, 0] and empty.xyz.shape == (0, 20, 3)
