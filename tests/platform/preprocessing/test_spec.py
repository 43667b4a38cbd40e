"""What holds for every preprocessing family, and how parameters are checked."""

from __future__ import annotations

import copy
import json
import warnings
from typing import Any

import numpy as np
import pytest

from skelray.platform.dataset import SkeletonSample
from skelray.platform.errors import UsageError
from skelray.platform.preprocessing import Preprocessing
from skelray.platform.skeleton.specs import COCO, KINECT_V2, SkeletonSpec
from tests.platform.preprocessing.recordings import EDGE_CASES, recording

SETTINGS: dict[str, list[dict[str, Any]]] = {
    "body_centred": [{}, {"frames": 64}, {"bodies": "id"}, {"align": "sequence"}],
    "energy_ranked": [
        {},
        {"spine": False},
        {"gaps": "close"},
        {"gaps": "close", "turn": "first_seen"},
        {"gaps": "drop", "bodies": "id", "centre": "first_seen", "max_frames": None},
        {"persons": 3},
    ],
    "denoised": [{}, {"alone": "copy"}, {"gaps": "keep"}],
    "pose_2d": [{}, {"persons": 1}],
}
FAMILIES = [
    pytest.param(Preprocessing(name=name, parameters=parameters), id=f"{name} {parameters}")
    for name, settings in SETTINGS.items()
    for parameters in settings
]


def skeleton_of(family: Preprocessing) -> SkeletonSpec:
    return COCO if family.name == "pose_2d" else KINECT_V2


def fitting(sample: SkeletonSample, skeleton: SkeletonSpec) -> SkeletonSample:
    values = copy.deepcopy(vars(sample))
    values["xyz"] = values["xyz"][:, : skeleton.n_joints, : skeleton.dimensions].copy()
    return SkeletonSample(**values)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_a_pure_function_of_the_recording(family: Preprocessing) -> None:
    for frames in EDGE_CASES.values():
        sample = fitting(recording(frames), skeleton_of(family))
        before = copy.deepcopy(vars(sample))
        done, again = family(sample, skeleton_of(family)), family(sample, skeleton_of(family))
        for name, value in before.items():
            np.testing.assert_array_equal(getattr(sample, name), value)
        np.testing.assert_array_equal(done.frames, again.frames)
        assert done.frames.dtype == np.float32
        assert not np.shares_memory(done.frames, sample.xyz)
        assert done.present.shape == done.frames.shape[:2]
        assert done.present.dtype == bool
        if family.name != "denoised":
            assert not done.frames[~done.present].any()
        assert len(done.frames) >= 1
        assert type(done.length) is int
        assert json.dumps(dict(done.scalars))  # plain numbers


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("size", [0.0, 1e-30, 1e-7, 1e6, 1e15])
def test_finite_numbers_stay_finite(family: Preprocessing, size: float) -> None:
    skeleton = skeleton_of(family)
    for frames in EDGE_CASES.values():
        sample = fitting(recording(frames), skeleton)
        sample.xyz[:] *= np.float32(size)
        upright = np.zeros_like(sample.xyz)
        upright[..., -1] = np.arange(skeleton.n_joints) * size  # all joints in one vertical line
        for xyz in (sample.xyz, np.full_like(sample.xyz, size), upright):
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                done = family(SkeletonSample(**vars(sample) | {"xyz": xyz}), skeleton)
            assert np.isfinite(done.frames).all()


def test_settings_have_keys_of_their_own() -> None:
    keys = {family.values[0].key() for family in FAMILIES}
    assert len(keys) == len(FAMILIES)
    written_out = {"gaps": "repeat", "persons": 2}
    same = Preprocessing(name="energy_ranked", parameters=written_out)
    assert same.key() == Preprocessing(name="energy_ranked").key()


def test_a_parameter_that_is_not_there_is_named() -> None:
    with pytest.raises(
        UsageError, match=r"'denoised' has no parameter 'gap': it takes gaps, alone"
    ):
        Preprocessing(name="denoised", parameters={"gap": "keep"})


@pytest.mark.parametrize(
    ("name", "parameters", "problem"),
    [
        ("energy_ranked", {"gaps": "loop"}, r"gaps='loop': Input should be 'repeat', 'close' or"),
        ("energy_ranked", {"persons": 0}, r"persons=0: Input should be greater than or equal to 1"),
        ("energy_ranked", {"spine": "perhaps"}, r"spine='perhaps': Input should be a valid bool"),
        ("body_centred", {"frames": 2.5}, r"frames=2.5: Input should be a valid integer"),
        ("body_centred", {"centre": "neck"}, r"centre='neck': Input should be 'shoulders' or"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(
    name: str, parameters: dict[str, Any], problem: str
) -> None:
    with pytest.raises(UsageError, match=f"preprocessing '{name}', {problem}"):
        Preprocessing(name=name, parameters=parameters)
