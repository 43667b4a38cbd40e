"""Reads LCR-Net's poses as Toyota Smarthome publishes them: one JSON file per clip.

`{"njts": 13, …, "frames": [[detection, …], …]}`, a list per video frame. A detection holds at least
`pose2d`, 13 x then 13 y in pixels, and `pose3d`, 13 x, 13 y, 13 z. B detections in all, V = 15.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np

from skelray.platform.errors import DataError
from skelray.platform.skeleton.specs import SMARTHOME13, SMARTHOME15

WIDTH, HEIGHT = 640, 480  # of the videos, in pixels
ABSENT = -1  # in a pose: the detection is none

_JOINTS = SMARTHOME13.n_joints
_INDEX = SMARTHOME13.joints.index
_SHOULDERS = [_INDEX("right shoulder"), _INDEX("left shoulder")]
_HIPS = [_INDEX("right hip"), _INDEX("left hip")]


class Poses(NamedTuple):
    """The poses of a clip, T frames, in the file's order."""

    frame_bodies: np.ndarray  # (T,) int32
    xyz: np.ndarray  # (B, 15, 3) float32
    color_xy: np.ndarray  # (B, 15, 2) float32, pixels


def parse_poses(content: bytes, where: str) -> Poses:
    """The poses of a file's content; absent detections are left out, their frames stay.

    DataError names the file (`where`) and the key or frame of the first thing that is wrong.
    """
    counts, flat, solid = [], [], []
    for number, frame in enumerate(_frames(content, where)):
        there = 0
        for pose2d, pose3d in _detections(frame, f"{where}: frame {number}"):
            if ABSENT not in pose2d and ABSENT not in pose3d:
                flat.append(pose2d)
                solid.append(pose3d)
                there += 1
        counts.append(there)
    return Poses(
        frame_bodies=np.array(counts, dtype=np.int32),
        xyz=_joints(solid, 3),
        color_xy=_joints(flat, 2),
    )


def _frames(content: bytes, where: str) -> list[Any]:
    """The list of frames, of skeletons with 13 joints."""
    try:
        tree = json.loads(content)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}, line {error.lineno}: not valid JSON, {error.msg}") from None
    except (ValueError, RecursionError):  # no UTF-8, a number of thousands of digits, too deep
        raise DataError(f"{where}: not a JSON text") from None
    if not isinstance(tree, dict):
        raise DataError(f"{where}: expected a JSON object with njts and frames")
    for key in ("njts", "frames"):
        if key not in tree:
            raise DataError(f"{where}: the key {key!r} is missing")
    if type(tree["njts"]) is not int or tree["njts"] != _JOINTS:
        raise DataError(f"{where}: njts is {_short(tree['njts'])}, expected {_JOINTS} joints")
    if not isinstance(tree["frames"], list):
        raise DataError(f"{where}: frames is {_short(tree['frames'])}, expected a list")
    return tree["frames"]


def _detections(frame: object, where: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """`pose2d` (26,) and `pose3d` (39,) of each detection of a frame."""
    if not isinstance(frame, list):
        raise DataError(f"{where} is {_short(frame)}, expected a list of detections")
    found = []
    for number, detection in enumerate(frame):
        place = f"{where}, detection {number}"
        if not isinstance(detection, dict):
            raise DataError(f"{place} is {_short(detection)}, expected an object")
        found.append((_pose(detection, "pose2d", 2, place), _pose(detection, "pose3d", 3, place)))
    return found


def _pose(detection: dict[str, Any], key: str, dimensions: int, place: str) -> np.ndarray:
    """The numbers of a key, float64."""
    expected = f"expected {_JOINTS * dimensions} numbers"
    if key not in detection:
        raise DataError(f"{place} has no {key}, {expected}")
    values = detection[key]
    if not isinstance(values, list):
        raise DataError(f"{place}: {key} is {_short(values)}, {expected}")
    if len(values) != _JOINTS * dimensions:
        raise DataError(f"{place}: {key} holds {len(values)} values, {expected}")
    limit = float(np.finfo(np.float32).max)
    for value in values:
        # NaN is not below the limit, and bool is a kind of int
        if type(value) not in (int, float) or not abs(value) <= limit:
            raise DataError(f"{place}: {key} holds {_short(value)}, expected finite numbers")
    return np.array(values, dtype=np.float64)


def _joints(poses: list[np.ndarray], dimensions: int) -> np.ndarray:
    """LCR-Net's blocks of coordinates as (B, 15, dimensions) in SMARTHOME15's order."""
    given = np.array(poses).reshape(-1, dimensions, _JOINTS).swapaxes(1, 2)
    neck = given[:, _SHOULDERS].mean(axis=1, keepdims=True)
    hips = given[:, _HIPS].mean(axis=1, keepdims=True)
    joints = np.concatenate([given[:, ::-1], neck, hips], axis=1).astype(np.float32)
    assert joints.shape[1:] == (SMARTHOME15.n_joints, dimensions)
    return joints


def _short(value: object) -> str:
    """A value as it fits into a line, of lists and objects what they are."""
    if isinstance(value, (list, dict)):
        return f"a {type(value).__name__} of {len(value)}"
    return ascii(value)[:40]
