"""Reads NTU RGB+D's `.skeleton` text: strict about every line, and fast (a few ms a file).

The format: the number of frames; for each frame the number of bodies; for each body one line of 10
numbers (its id, then `HEADER`), the number of joints, and a line of 12 numbers for every joint
(x y z, depth x y, colour x y, orientation w x y z, state). Lines end in LF or CRLF.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from skelray.platform.errors import DataError
from skelray.platform.skeleton.specs import KINECT_V2

HEADER = (
    "clipped_edges",
    "hand_left_confidence",
    "hand_left_state",
    "hand_right_confidence",
    "hand_right_state",
    "is_restricted",
    "lean_x",
    "lean_y",
    "tracking_state",
)

_JOINTS = KINECT_V2.n_joints
_HEADER_COLUMNS = 1 + len(HEADER)
_JOINT_COLUMNS = 12
_XYZ = slice(0, 3)
_COLOR = slice(5, 7)
_STATE = 11

_COUNT = re.compile(r"[0-9]{1,9}")
_BODY_ID = re.compile(r"[0-9]{1,19}")
_NUMBER = re.compile(
    r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|[+-]?(?:nan|inf|infinity)", re.IGNORECASE
)


class SkeletonFile(NamedTuple):
    """The arrays of one file, named and laid out as in `SkeletonSample`; B bodies over T frames."""

    frame_bodies: np.ndarray  # (T,) int32
    xyz: np.ndarray  # (B, 25, 3) float32, metres
    body_id: np.ndarray  # (B,) int64
    body_header: np.ndarray  # (B, 9) float32, columns HEADER
    joint_state: np.ndarray  # (B, 25) int8: 0 lost, 1 inferred, 2 tracked
    color_xy: np.ndarray  # (B, 25, 2) float32, pixels; not finite where the sensor knew none


def parse_skeleton(content: str | bytes, source: str) -> SkeletonFile:
    """Parses one whole `.skeleton` file; coordinates are rounded to the nearest float32.

    Raises:
        DataError: at the line that does not fit; names `source`, the 1-based line and what was
            expected there.
    """
    lines = _Lines(source, _split(content, source))
    try:
        frame_bodies = _structure(lines)
        joint_lines = [index for header in lines.headers for index in _joint_range(header)]
        header = _table(lines, lines.headers, _HEADER_COLUMNS)
        joints = _table(lines, joint_lines, _JOINT_COLUMNS)
    except DataError as error:
        # A line too many or too few shows in a count far below it: look for the line itself first.
        raise _first_fault(lines) or error from None
    joints = joints.reshape(-1, _JOINTS, _JOINT_COLUMNS)
    with np.errstate(over="ignore"):  # what float32 cannot hold is found by the next check
        joints32 = joints.astype(np.float32)
        body_header = header[:, 1:].astype(np.float32)
    finite = np.all(np.isfinite(joints32[..., _XYZ]), axis=-1)
    _require(lines, joint_lines, finite, "finite coordinates x y z")
    state = joints[..., _STATE]
    _require(lines, joint_lines, np.isin(state, (0, 1, 2)), "a last number of 0, 1 or 2")
    return SkeletonFile(
        frame_bodies=np.array(frame_bodies, dtype=np.int32),
        xyz=np.ascontiguousarray(joints32[..., _XYZ]),
        body_id=np.array([lines.body_id(index) for index in lines.headers], dtype=np.int64),
        body_header=body_header,
        joint_state=state.astype(np.int8),
        color_xy=np.ascontiguousarray(joints32[..., _COLOR]),
    )


@dataclass
class _Lines:
    """The lines of a file and how far they were read; indices are 0-based, messages 1-based."""

    source: str
    text: Sequence[str]
    at: int = 0
    headers: list[int] = field(default_factory=list)  # the first line of every body so far

    def error(self, index: int, message: str) -> DataError:
        """The error that points at one line."""
        return DataError(f"{self.source}, line {index + 1}: {message}")

    def take(self, number: int, expected: str) -> int:
        """Passes `number` lines and returns the index of the first."""
        first = self.at
        if first + number > len(self.text):
            last = max(len(self.text) - 1, 0)
            raise self.error(last, f"the file ends too early, expected {expected}")
        self.at += number
        return first

    def count(self, expected: str) -> int:
        """Reads a line that holds one whole number."""
        index = self.take(1, expected)
        line = self.text[index].strip()
        if not _COUNT.fullmatch(line):
            raise self.error(index, f"expected {expected}, found {_shown(line)}")
        return int(line)

    def body_id(self, index: int) -> int:
        """The first number of a body's header line; too long for float64, so read as an integer."""
        token = self.text[index].split(maxsplit=1)[0]
        if not _BODY_ID.fullmatch(token) or int(token) > np.iinfo(np.int64).max:
            raise self.error(index, f"expected a body's id (64-bit integer), found {_shown(token)}")
        return int(token)


def _split(content: str | bytes, source: str) -> list[str]:
    """The lines of the file, without empty ones at its end."""
    text = content if isinstance(content, str) else _decode(content, source)
    return text.rstrip().split("\n") if text.strip() else []


def _decode(content: bytes, source: str) -> str:
    """The bytes as text; every file of the data set is ASCII."""
    try:
        return content.decode("ascii")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{source}, line {line}: expected text, found other bytes") from None


def _structure(lines: _Lines) -> list[int]:
    """Walks all counts and notes where bodies begin; returns the number of bodies per frame (T)."""
    frames = lines.count("the number of frames")
    if frames == 0:
        raise lines.error(0, "expected at least one frame, found '0'")
    frame_bodies = []
    for frame in range(1, frames + 1):
        bodies = lines.count(f"the number of bodies in frame {frame} of {frames}")
        frame_bodies.append(bodies)
        for _ in range(bodies):
            lines.headers.append(lines.take(1, f"{_HEADER_COLUMNS} numbers of a body"))
            joints = lines.count(f"the number of joints, {_JOINTS}")
            if joints != _JOINTS:
                raise lines.error(lines.at - 1, f"expected {_JOINTS} joints, found {joints}")
            lines.take(_JOINTS, f"{_JOINTS} lines of joints in frame {frame} of {frames}")
    if lines.at < len(lines.text):
        found = _shown(lines.text[lines.at])
        raise lines.error(lines.at, f"expected the end after {frames} frames, found {found}")
    return frame_bodies


def _joint_range(header: int) -> range:
    """The lines of a body's joints: they follow its header and its joint count."""
    return range(header + 2, header + 2 + _JOINTS)


def _table(lines: _Lines, indices: Sequence[int], columns: int) -> np.ndarray:
    """The numbers on the given lines, (len(indices), columns) float64."""
    if not indices:
        return np.empty((0, columns))
    rows = [lines.text[index] for index in indices]
    # loadtxt passes over empty lines and takes any width that all rows share.
    if all(row and not row.isspace() for row in rows):
        try:
            table = np.loadtxt(rows, dtype=np.float64, comments=None, ndmin=2)
        except ValueError:
            pass  # its message knows no line of the file
        else:
            if table.shape == (len(rows), columns):
                return table
    raise lines.error(indices[0], f"expected {columns} numbers from here on in such lines")


def _first_fault(lines: _Lines) -> DataError | None:
    """The error for the first of the bodies' lines read so far that does not hold its numbers."""
    for header in lines.headers:
        for index in (header, *_joint_range(header)):
            if index >= lines.at:
                break
            columns = _HEADER_COLUMNS if index == header else _JOINT_COLUMNS
            tokens = re.split("[ \t]+", lines.text[index].strip(" \t\r"))
            wrong = next((token for token in tokens if not _NUMBER.fullmatch(token)), None)
            found = len(tokens) if wrong is None else _shown(wrong)
            if wrong is not None or len(tokens) != columns:
                return lines.error(index, f"expected {columns} numbers, found {found}")
    return None


def _require(lines: _Lines, indices: Sequence[int], good: np.ndarray, expected: str) -> None:
    """Raises at the first joint line that is not `good` (B, V)."""
    if not good.all():
        index = indices[int(np.argmin(good))]
        raise lines.error(index, f"expected {expected}, found {_shown(lines.text[index])}")


def _shown(text: str) -> str:
    """A piece of the file for a message: one line, shortened, control characters escaped."""
    return repr(text if len(text) <= 60 else text[:57] + "...")
