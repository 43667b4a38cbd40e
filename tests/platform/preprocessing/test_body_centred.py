"""`body_centred` against a slow reading of the published recipe, and on hand-made edge cases."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from skelray.platform.dataset import SkeletonSample
from skelray.platform.errors import UsageError
from skelray.platform.preprocessing import Preprocessing
from skelray.platform.skeleton.specs import COCO, KINECT_V2


def sample(bodies: list[int], seed: int = 0) -> SkeletonSample:
    generator = np.random.default_rng(seed)
    xyz = generator.normal(size=(sum(bodies), 25, 3)).astype(np.float32)
    return SkeletonSample(id="made", frame_bodies=np.array(bodies, dtype=np.int32), xyz=xyz)


def reference(given: SkeletonSample, frames: int = 50, persons: int = 2) -> tuple[np.ndarray, int]:
    """LinguoLi/CrosSCLR's two stages, joint by joint in float64; (frames, M, V, 3) and L."""
    count = len(given.frame_bodies)
    x = np.zeros((count, persons, 25, 3))
    body = 0
    for t in range(count):
        for m in range(given.frame_bodies[t]):
            if m < persons:
                x[t, m] = given.xyz[body]
            body += 1
    length = sum(np.abs(x[t, 0, 0]).sum() != 0 for t in range(count))
    if length == 0:
        return np.zeros((frames, persons, 25, 3)), 0
    for t in range(count):
        for m in range(persons):
            x[t, m] = x[t, m] - x[t, m, 20]
    y = np.zeros((frames, persons, 25, 3))
    for i in range(frames):
        s = (i + 0.5) * length / frames - 0.5
        a = math.floor(s)
        low, high = min(max(a, 0), length - 1), min(max(a + 1, 0), length - 1)
        y[i] = (1 - (s - a)) * x[low] + (s - a) * x[high]
    for m in range(persons):
        lines = y[:, m, 8] - y[:, m, 4]
        sign = -1.0 if lines[:, 2].sum() >= 0 else 1.0
        for t in range(frames):
            w = lines[t] * [1, 0, 1]
            angle = sign * math.acos(w[0] / (np.linalg.norm(w) + 1e-4))
            c, s = math.cos(angle), math.sin(angle)
            turn = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
            for v in range(25):
                y[t, m, v] = turn @ y[t, m, v]
    return y, int(length)


CASES = {
    "one person": [1] * 73,
    "two persons": [2] * 60,
    "empty first frames": [0, 0, 0] + [1] * 40,
    "gaps inside": [1] * 10 + [0] * 5 + [1] * 30,
    "enters late": [1] * 20 + [2] * 20,
    "three bodies": [3] * 31,
    "one frame": [1],
    "fifty frames": [1] * 50,
    "more than 300 frames": [1] * 350,
}


@pytest.mark.parametrize("bodies", CASES.values(), ids=CASES.keys())
def test_equals_the_slow_reading(bodies: list[int]) -> None:
    given = sample(bodies)
    done = Preprocessing(name="body_centred")(given, KINECT_V2)
    expected, length = reference(given)
    assert done.length == length
    assert done.frames.dtype == np.float32
    np.testing.assert_allclose(done.frames, expected, atol=3e-6)
    if max(bodies) < 2:
        assert not done.present[:, 1].any()
        assert not done.frames[:, 1].any()


def test_real_recordings_equal_the_slow_reading(shared: Callable[[str], Path]) -> None:
    from skelray.datasets.ntu.parser import parse_skeleton

    for file in sorted(shared("data/ntu_sample").glob("*.skeleton")):
        parsed = parse_skeleton(file.read_bytes(), str(file))
        given = SkeletonSample(id=file.stem, frame_bodies=parsed.frame_bodies, xyz=parsed.xyz)
        done = Preprocessing(name="body_centred")(given, KINECT_V2)
        np.testing.assert_allclose(done.frames, reference(given)[0], atol=3e-6)


def test_a_first_body_that_never_comes_gives_zeros() -> None:
    given = SkeletonSample(
        id="zero",
        frame_bodies=np.ones(8, dtype=np.int32),
        xyz=np.zeros((8, 25, 3), dtype=np.float32),
    )
    done = Preprocessing(name="body_centred")(given, KINECT_V2)
    assert done.length == 0
    assert not done.frames.any()


def test_parameters_decide_the_key_and_are_checked() -> None:
    default = Preprocessing(name="body_centred")
    assert default.key() == Preprocessing(name="body_centred", parameters={"frames": 50}).key()
    assert default.key() != Preprocessing(name="body_centred", parameters={"frames": 64}).key()
    with pytest.raises(
        UsageError, match=r"no parameter 'length'.*persons, frames, bodies, centre, align"
    ):
        Preprocessing(name="body_centred", parameters={"length": 64})
    with pytest.raises(UsageError, match="no preprocessing named 'centred'"):
        Preprocessing(name="centred")
    with pytest.raises(UsageError, match="coco has none"):
        default(sample([1]), COCO)


def test_once_per_sequence_keeps_how_a_body_turns() -> None:
    given = sample([1] * 50, seed=3)
    for degrees in (0.0, 40.0, 170.0):
        camera = Rotation.from_euler("y", degrees, degrees=True)
        seen = SkeletonSample(
            id="seen",
            frame_bodies=given.frame_bodies,
            xyz=camera.apply(given.xyz.reshape(-1, 3)).reshape(-1, 25, 3).astype(np.float32),
        )
        settings = {"align": "sequence", "centre": "root"}
        done = Preprocessing(name="body_centred", parameters=settings)(seen, KINECT_V2).frames
        line = (done[:, 0, 8] - done[:, 0, 4]).mean(axis=0)
        assert line[0] > 0 and abs(line[2]) < 1e-5
        assert not done[:, 0, 0].any()
        if degrees == 0:
            first = done
        np.testing.assert_allclose(done, first, atol=1e-5)  # the camera's angle is gone
        distances = np.linalg.norm(done[1:, 0, 5] - done[:-1, 0, 5], axis=-1)
        centred = given.xyz - given.xyz[:, :1]
        expected = np.linalg.norm(centred[1:, 5] - centred[:-1, 5], axis=-1)
        np.testing.assert_allclose(distances, expected, atol=1e-4)  # one turn for all frames
