"""Turning and finding the spine."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from skelray.platform.errors import UsageError
from skelray.platform.preprocessing.steps import lower_spine, rotation_between
from skelray.platform.skeleton.specs import (
    COCO,
    KINECT_V1,
    KINECT_V2,
    MSR_ACTION3D,
    SMARTHOME15,
)

X = np.array([1.0, 0.0, 0.0])
Z = np.array([0.0, 0.0, 1.0])


@pytest.mark.parametrize("seed", range(10))
def test_the_rotation_is_the_shortest_that_brings_the_direction_onto_the_axis(seed: int) -> None:
    direction = np.random.default_rng(seed).normal(size=3)
    for axis in (X, Z):
        rotation = rotation_between(direction, axis)
        unit = direction / np.linalg.norm(direction)
        np.testing.assert_allclose(rotation @ unit, axis, atol=1e-12)
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(rotation) == pytest.approx(1)
        angle = Rotation.from_matrix(rotation).magnitude()
        assert angle == pytest.approx(np.arccos(unit @ axis))


@pytest.mark.parametrize(
    "direction",
    [[0, 0, 0], [1e-7, 2e-7, 3e-7], [0, 0, 2], [0, 0, -2], [1e-9, 0, 1]],
    ids=["none", "short", "along", "against", "almost along"],
)
def test_nothing_is_turned_where_no_rotation_is_defined(direction: list[float]) -> None:
    np.testing.assert_array_equal(rotation_between(np.array(direction), Z), np.eye(3))


@pytest.mark.parametrize(
    ("skeleton", "joints"),
    [
        (KINECT_V2, ("base of spine", "mid spine")),
        (KINECT_V1, ("hip centre", "spine")),
        (MSR_ACTION3D, ("hip centre", "spine")),
        (SMARTHOME15, ("mid hip", "neck")),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_lower_spine(skeleton, joints) -> None:
    assert tuple(skeleton.joints[joint] for joint in lower_spine(skeleton)) == joints


def test_a_skeleton_without_a_spine_has_no_lower_one() -> None:
    with pytest.raises(UsageError, match="coco has no spine"):
        lower_spine(COCO)
