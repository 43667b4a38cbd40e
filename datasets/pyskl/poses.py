"""One annotation's fields, checked: label, poses, size of the picture.

DataErrors name the field; the caller adds file, position and id.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from skelray.platform.dataset import PickledArray
from skelray.platform.errors import DataError
from skelray.platform.skeleton.spec import SkeletonSpec


class Poses(NamedTuple):
    """Arrays named and laid out as in `SkeletonSample`; B bodies over T frames, V joints."""

    frame_bodies: np.ndarray  # (T,) int32
    xyz: np.ndarray  # (B, V, 2 | 3) float32: pixels, or metres
    body_id: np.ndarray  # (B,) int64: the person's index in the annotation
    score: np.ndarray | None  # (B, V) float32


def read_poses(annotation: Mapping[str, Any], skeleton: SkeletonSpec) -> Poses:
    """The persons that are in each frame, out of `keypoint` (M, T, V, C) and `keypoint_score`."""
    frames = _whole("total_frames", _required(annotation, "total_frames"))
    shape = (frames, skeleton.n_joints, skeleton.dimensions)
    keypoint = _array(annotation, "keypoint", shape)
    score = None
    present = np.any(keypoint != 0, axis=(2, 3))  # (M, T)
    if annotation.get("keypoint_score") is not None:
        score = _array(annotation, "keypoint_score", shape[:2])
        if len(score) != len(keypoint):
            raise DataError(f"keypoint_score is of {len(score)} persons, keypoint {len(keypoint)}")
        present |= np.any(score != 0, axis=2)
    frame, person = np.nonzero(present.T)
    return Poses(
        frame_bodies=np.count_nonzero(present, axis=0).astype(np.int32),
        xyz=keypoint[person, frame],
        body_id=person.astype(np.int64),
        score=None if score is None else score[person, frame],
    )


def read_label(annotation: Mapping[str, Any], classes: int, named: int | None) -> int | None:
    """The label, None where there is none; it must be one of the classes, and what the id says."""
    if annotation.get("label") is None:
        return named
    label = _whole("label", annotation["label"])
    if not 0 <= label < classes:
        raise DataError(f"label {label} is outside 0..{classes - 1}")
    if named is not None and label != named:
        raise DataError(f"label is {label}, its name says {named}")
    return label


def read_picture(annotation: Mapping[str, Any]) -> dict[str, Any]:
    """`height` and `width` of the picture in pixels, where `img_shape` says them."""
    shape = annotation.get("img_shape")
    if shape is None:
        return {}
    if not isinstance(shape, (tuple, list)) or len(shape) != 2:
        raise DataError("img_shape is not (height, width)")
    height, width = (_whole("img_shape", size) for size in shape)
    if height <= 0 or width <= 0:
        raise DataError(f"img_shape is ({height}, {width}), expected (height, width)")
    return {"height": height, "width": width}


def _required(annotation: Mapping[str, Any], key: str) -> Any:
    if key not in annotation:
        raise DataError(f"the key {key!r} is missing")
    return annotation[key]


def _whole(key: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise DataError(f"{key} is of type {type(value).__name__}, expected a whole number")
    if not -(2**31) <= value < 2**31:
        raise DataError(f"{key} is larger than any number of 32 bits")
    return int(value)


def _array(annotation: Mapping[str, Any], key: str, shape: tuple[int, ...]) -> np.ndarray:
    """The array (M, *shape) of any number of persons, float32."""
    value = _required(annotation, key)
    if not isinstance(value, PickledArray):
        raise DataError(f"{key} is of type {type(value).__name__}, expected an array")
    if value.dtype.kind not in "fiu":
        raise DataError(f"{key} is an array of {value.dtype}, expected numbers")
    if len(value.shape) != 1 + len(shape) or value.shape[1:] != shape:
        expected = ", ".join(["M", *map(str, shape)])
        raise DataError(
            f"{key} has shape {value.shape}, expected ({expected}): total_frames is {shape[0]}"
        )
    try:
        array = value.read()
    except DataError as error:
        raise DataError(f"{key}: {error}") from None
    with np.errstate(over="ignore"):  # too large for float32: not finite, and so found
        array = array.astype(np.float32)
    if not np.isfinite(array).all():
        where = ", ".join(map(str, np.argwhere(~np.isfinite(array))[0]))
        raise DataError(f"{key}[{where}] is not a finite number")
    return array
