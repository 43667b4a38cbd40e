"""Poses from hand-made files, whole and damaged."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from skelray.datasets.smarthome.parser import parse_poses
from skelray.platform.errors import DataError
from skelray.platform.skeleton.specs import SMARTHOME13, SMARTHOME15


def detection(start: float = 0.0, **changes: Any) -> dict[str, Any]:
    """x is the number of LCR-Net's joint, y 100 more, z 200 more, all from `start` on."""
    blocks = [[start + 100 * c + v for v in range(13)] for c in range(3)]
    return {
        "pose2d": blocks[0] + blocks[1],
        "pose3d": [n for block in blocks for n in block],
    } | changes


def content(frames: Any, **changes: Any) -> bytes:
    return json.dumps({"njts": 13, "K": 99, "frames": frames} | changes).encode()


def test_joints_by_hand() -> None:
    poses = parse_poses(content([[detection()]]), "x.json")
    x = [12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 10.5, 4.5]
    assert poses.xyz[0, :, 0].tolist() == poses.color_xy[0, :, 0].tolist() == x
    assert poses.xyz[0, :, 1].tolist() == [100 + value for value in x]
    assert poses.color_xy[0, :, 1].tolist() == [100 + value for value in x]
    assert poses.xyz[0, :, 2].tolist() == [200 + value for value in x]
    assert (poses.xyz.dtype, poses.color_xy.dtype) == (np.float32, np.float32)
    for joint, value in zip(SMARTHOME15.joints[:13], x, strict=False):
        assert SMARTHOME13.joints[int(value)] == joint


def test_neck_and_mid_hip_are_means_in_both() -> None:
    right, left = (SMARTHOME13.joints.index(f"{side} shoulder") for side in ("right", "left"))
    one = detection()
    for axis, values in enumerate(((1.0, 3.0), (-2.0, 6.0), (0.5, 0.0))):
        one["pose3d"][13 * axis + right], one["pose3d"][13 * axis + left] = values
    one["pose2d"][right], one["pose2d"][left] = 320, 340
    poses = parse_poses(content([[one]]), "x.json")
    assert poses.xyz[0, 13].tolist() == [2.0, 2.0, 0.25]
    assert poses.color_xy[0, 13].tolist() == [330.0, 110.5]
    assert poses.xyz[0, 14].tolist() == [4.5, 104.5, 204.5]


def test_bodies_stay_in_the_files_order_and_empty_frames_stay() -> None:
    frames = [[], [detection(1), detection(2)], [], [detection(3)]]
    poses = parse_poses(content(frames), "x.json")
    assert poses.frame_bodies.tolist() == [0, 2, 0, 1]
    assert poses.frame_bodies.dtype == np.int32
    assert poses.xyz[:, 12, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize(("key", "size"), [("pose2d", 26), ("pose3d", 39)])
def test_a_detection_with_minus_ones_is_absent(key: str, size: int) -> None:
    some = detection(5)
    some[key][3] = -1
    frames = [[detection(1), detection(**{key: [-1] * size}), detection(2)], [some]]
    poses = parse_poses(content(frames), "x.json")
    assert poses.frame_bodies.tolist() == [2, 0]
    assert poses.xyz[:, 12, 0].tolist() == [1, 2]
    assert poses.color_xy[:, 12, 0].tolist() == [1, 2]


def test_a_file_without_any_body() -> None:
    poses = parse_poses(content([[], []]), "x.json")
    assert (poses.xyz.shape, poses.color_xy.shape) == ((0, 15, 3), (0, 15, 2))


def without(key: str) -> dict[str, Any]:
    one = detection()
    del one[key]
    return one


WRONG: dict[str, tuple[bytes, str]] = {
    "truncated": (content([[detection()]])[:-9], "x.json, line 1: not valid JSON, "),
    "no text": (b"\xff\xfe\x00", "x.json: not a JSON text"),
    "endless number": (b'{"njts": ' + b"1" * 9999 + b"}", "x.json: not a JSON text"),
    "deep": (b"[" * 100_000, "x.json: not a JSON text"),
    "a list": (b"[]", "x.json: expected a JSON object with njts and frames"),
    "no frames": (b'{"njts": 13}', "x.json: the key 'frames' is missing"),
    "no njts": (b'{"frames": []}', "x.json: the key 'njts' is missing"),
    "other joints": (content([], njts=17), "x.json: njts is 17, expected 13 joints"),
    "true": (content([], njts=True), "x.json: njts is True, expected 13 joints"),
    "frames": (content({"0": []}), "x.json: frames is a dict of 1, expected a list"),
    "frame": (content([[], 7]), "x.json: frame 1 is 7, expected a list of detections"),
    "detection": (content([["x"]]), "x.json: frame 0, detection 0 is 'x', expected an object"),
    "no 3D": (
        content([[], [detection(), without("pose3d")]]),
        "x.json: frame 1, detection 1 has no pose3d, expected 39 numbers",
    ),
    "no 2D": (
        content([[without("pose2d")]]),
        "x.json: frame 0, detection 0 has no pose2d, expected 26 numbers",
    ),
    "short": (
        content([[detection(pose3d=[0.0] * 38)]]),
        "x.json: frame 0, detection 0: pose3d holds 38 values, expected 39 numbers",
    ),
    "an object": (
        content([[detection(pose2d={})]]),
        "x.json: frame 0, detection 0: pose2d is a dict of 0, expected 26 numbers",
    ),
    **{
        f"value {value!r:.9}": (
            content([[detection(pose2d=[0.0] * 25 + [value])]]),
            f"x.json: frame 0, detection 0: pose2d holds {shown}, expected finite numbers",
        )
        for value, shown in (
            ("1", "'1'"),
            (None, "None"),
            (True, "True"),
            ([1.0], "a list of 1"),
            (float("nan"), "nan"),
            (float("-inf"), "-inf"),
            (10**60, f"1{'0' * 39}"),
            (1e39, "1e+39"),
        )
    },
}


@pytest.mark.parametrize(("given", "message"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_in_one_line(given: bytes, message: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_poses(given, "x.json")
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 160
