"""Reads NTU RGB+D's `.skeleton` text: strict about every line, and fast (about 2 ms a file).

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
import pyarrow as pa

from skelray.datasets.ntu.number_lines import number_fault, read_columns, shown
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
_XYZ = slice(0, 3)
_COLOR = slice(5, 7)
# The id, which no float holds, is read apart. A state must be 0, 1 or 2 before any rounding.
_HEADER_TYPES = [pa.float32()] * (1 + len(HEADER))
_JOINT_TYPES = [pa.float32()] * 11 + [pa.float64()]

_COUNT = re.compile(rb"[0-9]{1,9}")
_BODY_ID = re.compile(rb"[0-9]{1,19}")
_INT64_MAX = 2**63 - 1


class SkeletonFile(NamedTuple):
    """The arrays of one file, named and laid out as in `SkeletonSample`; B bodies over T frames."""

    frame_bodies: np.ndarray  # (T,) int32
    xyz: np.ndarray  # (B, 25, 3) float32, metres
    body_id: np.ndarray  # (B,) int64
    body_header: np.ndarray  # (B, 9) float32, columns HEADER
    joint_state: np.ndarray  # (B, 25) int8: 0 lost, 1 inferred, 2 tracked
    color_xy: np.ndarray  # (B, 25, 2) float32, pixels; not finite where the sensor knew none


def parse_skeleton(content: str | bytes, source: str) -> SkeletonFile:
    """Parses one whole `.skeleton` file; coordinates are the float32 nearest to the text.

    Takes at most about ten times the content's size of memory, whatever its counts claim.

    Raises:
        DataError: at the line that does not fit; names `source`, the 1-based line and what was
            expected there.
    """
    lines = _Lines.of(content, source)
    try:
        frame_bodies = _structure(lines)
        header = _table(lines, [range(index, index + 1) for index in lines.bodies], _HEADER_TYPES)
        joints = _table(lines, [_joint_range(index) for index in lines.bodies], _JOINT_TYPES)
    except DataError as error:
        # A line too many or too few shows in a count far below it: look for the line itself first.
        raise _first_fault(lines) or error from None
    xyz = np.stack(joints[_XYZ], axis=-1).reshape(-1, _JOINTS, 3)
    state = joints[-1].reshape(-1, _JOINTS)
    _require(lines, np.isfinite(xyz).all(axis=-1), "finite coordinates x y z")
    _require(lines, np.isin(state, (0, 1, 2)), "a last number of 0, 1 or 2")
    return SkeletonFile(
        frame_bodies=np.array(frame_bodies, dtype=np.int32),
        xyz=xyz,
        body_id=np.array([lines.body_id(index) for index in lines.bodies], dtype=np.int64),
        body_header=np.stack(header[1:], axis=-1),
        joint_state=state.astype(np.int8),
        color_xy=np.stack(joints[_COLOR], axis=-1).reshape(-1, _JOINTS, 2),
    )


@dataclass
class _Lines:
    """The lines of a file and how far they were read; indices are 0-based, messages 1-based."""

    source: str
    content: bytes
    ends: memoryview  # where each line's LF is
    at: int = 0
    bodies: list[int] = field(default_factory=list)  # the first line of every body so far

    @classmethod
    def of(cls, content: str | bytes, source: str) -> _Lines:
        """The lines of a file without the empty ones at its end; every file of the set is ASCII."""
        data = content.encode(errors="surrogatepass") if isinstance(content, str) else content
        if not data.isascii():
            text = len(data) - len(data.lstrip(bytes(range(128))))
            line = data.count(b"\n", 0, text) + 1
            raise DataError(f"{source}, line {line}: expected text, found other bytes")
        if data := data.rstrip():
            data += b"\n"
        return cls(source, data, np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n")).data)

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: int) -> bytes:
        return self.block(range(index, index + 1))[:-1].removesuffix(b"\r")

    def block(self, lines: range) -> bytes:
        """The bytes of consecutive lines with their ends."""
        start = self.ends[lines.start - 1] + 1 if lines.start else 0
        return self.content[start : self.ends[lines.stop - 1] + 1]

    def error(self, index: int, message: str) -> DataError:
        """The error that points at one line."""
        return DataError(f"{self.source}, line {index + 1}: {message}")

    def take(self, number: int, expected: str) -> int:
        """Passes `number` lines and returns the index of the first."""
        first = self.at
        if first + number > len(self):
            last = max(len(self) - 1, 0)
            raise self.error(last, f"the file ends too early, expected {expected}")
        self.at += number
        return first

    def count(self, expected: str) -> int:
        """Reads a line that holds one whole number."""
        index = self.take(1, expected)
        line = self[index].strip()
        if not _COUNT.fullmatch(line):
            raise self.error(index, f"expected {expected}, found {shown(line)}")
        return int(line)

    def body_id(self, index: int) -> int:
        """The first number of a body's header line; too long for float64, so read as an integer."""
        token = self[index].split(maxsplit=1)[0]
        if not _BODY_ID.fullmatch(token) or int(token) > _INT64_MAX:
            raise self.error(index, f"expected a body's id (64-bit integer), found {shown(token)}")
        return int(token)


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
            lines.bodies.append(lines.take(1, f"{len(_HEADER_TYPES)} numbers of a body"))
            joints = lines.count(f"the number of joints, {_JOINTS}")
            if joints != _JOINTS:
                raise lines.error(lines.at - 1, f"expected {_JOINTS} joints, found {joints}")
            lines.take(_JOINTS, f"{_JOINTS} lines of joints in frame {frame} of {frames}")
    if lines.at < len(lines):
        found = shown(lines[lines.at])
        raise lines.error(lines.at, f"expected the end after {frames} frames, found {found}")
    return frame_bodies


def _joint_range(body: int) -> range:
    """The lines of a body's joints: they follow its header and its joint count."""
    return range(body + 2, body + 2 + _JOINTS)


def _table(
    lines: _Lines, blocks: Sequence[range], types: Sequence[pa.DataType]
) -> list[np.ndarray]:
    """The numbers on the lines of all blocks, column by column."""
    if not blocks:
        return [np.empty(0, dtype=kind.to_pandas_dtype()) for kind in types]
    columns = read_columns(b"".join(map(lines.block, blocks)), types)
    if columns is None:
        expected = f"expected {len(types)} numbers from here on in such lines"
        raise lines.error(blocks[0].start, expected)
    return columns


def _first_fault(lines: _Lines) -> DataError | None:
    """The error for the first of the bodies' lines so far that does not hold its numbers."""
    for body in lines.bodies:
        for index in (body, *_joint_range(body)):
            if index >= lines.at:
                break
            columns = len(_HEADER_TYPES) if index == body else len(_JOINT_TYPES)
            if fault := number_fault(lines[index], columns):
                return lines.error(index, fault)
    return None


def _require(lines: _Lines, good: np.ndarray, expected: str) -> None:
    """Raises at the first joint line that is not `good` (B, V)."""
    if not good.all():
        body, joint = np.unravel_index(int(np.argmin(good)), good.shape)
        index = _joint_range(lines.bodies[body])[joint]
        raise lines.error(index, f"expected {expected}, found {shown(lines[index])}")
