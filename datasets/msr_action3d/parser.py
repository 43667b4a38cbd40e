"""Reads MSR-Action3D's skeleton text: 20 lines `x y z confidence` a frame and nothing else.

A frame in which the tracker had no body is 20 lines of zeros.
"""

from __future__ import annotations

from io import BytesIO
from itertools import islice
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from skelray.datasets.ntu.number_lines import number_fault, read_columns, shown
from skelray.platform.errors import DataError
from skelray.platform.skeleton.specs import MSR_ACTION3D

_JOINTS = MSR_ACTION3D.n_joints
_COLUMNS = 4


class SkeletonFile(NamedTuple):
    """The arrays of one file, named and laid out as in `SkeletonSample`; B bodies over T frames."""

    frame_bodies: np.ndarray  # (T,) int32: 0 where all 80 numbers of a frame are 0, else 1
    xyz: np.ndarray  # (B, 20, 3) float32, metres
    score: np.ndarray  # (B, 20) float32: the tracker's confidence, 0 to 1


def parse_skeleton(content: bytes, source: str) -> SkeletonFile:
    """Parses one whole file; numbers are the float32 nearest to the text.

    Raises:
        DataError: at the line that does not fit; names `source`, the 1-based line and what was
            expected there. Also where no frame holds a body.
    """
    frames = _numbers(content, source).reshape(-1, _JOINTS, _COLUMNS)
    present = np.any(frames != 0, axis=(1, 2))
    if not present.any():
        raise DataError(f"{source}, line 1: all {len(frames)} frames are zeros: none holds a body")
    bodies = frames[present]
    return SkeletonFile(present.astype(np.int32), bodies[..., :3], bodies[..., 3])


def _numbers(content: bytes, source: str) -> np.ndarray:
    """The numbers (20 T, 4) float32, checked."""
    text = _text(content, source)
    lines = text.count(b"\n")
    columns = read_columns(text, [pa.float32()] * _COLUMNS)
    if columns is None or len(columns[0]) != lines:
        raise _first_fault(text, source)
    numbers = np.stack(columns, axis=-1)
    confidence = numbers[:, 3]
    _require(np.isfinite(numbers).all(axis=-1), "finite numbers", text, source)
    _require((confidence >= 0) & (confidence <= 1), "a confidence of 0 to 1", text, source)
    if over := lines % _JOINTS:
        expected = f"expected {_JOINTS} lines a frame, the last one has {over}"
        raise DataError(f"{source}, line {lines}: the file ends too early, {expected}")
    return numbers


def _text(content: bytes, source: str) -> bytes:
    """The lines, ended by LF, without empty ones at the end; every file of the set is ASCII."""
    if not content.isascii():
        before = len(content) - len(content.lstrip(bytes(range(128))))
        line = content.count(b"\n", 0, before) + 1
        raise DataError(f"{source}, line {line}: expected text, found other bytes")
    text = content.rstrip().replace(b"\r\n", b"\n")
    if not text:
        raise DataError(f"{source}: the file is empty")
    return text + b"\n"


def _first_fault(text: bytes, source: str) -> DataError:
    """The error for the first line that does not hold its numbers."""
    for number, line in enumerate(BytesIO(text), start=1):
        if fault := number_fault(line.removesuffix(b"\n"), _COLUMNS):
            return DataError(f"{source}, line {number}: {fault}")
    return DataError(f"{source}: expected lines of {_COLUMNS} numbers")


def _require(good: np.ndarray, expected: str, text: bytes, source: str) -> None:
    """Raises at the first line that is not `good` (lines,)."""
    if not good.all():
        index = int(np.argmin(good))
        (line,) = islice(BytesIO(text), index, index + 1)
        found = shown(line.rstrip())
        raise DataError(f"{source}, line {index + 1}: expected {expected}, found {found}")
