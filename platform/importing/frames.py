"""The frames of one recording as its file holds them, and the bodies that are in them.

T frames, M persons, V joints, C coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from skelray.platform.errors import DataError
from skelray.platform.skeleton.spec import SkeletonSpec


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What the numbers of a file are: joints of this skeleton, each with its score or without."""

    skeleton: SkeletonSpec
    scored: bool = False  # each joint's coordinates are followed by its score

    @property
    def width(self) -> int:
        """Numbers per joint."""
        return self.skeleton.dimensions + self.scored

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of a joint's numbers in their order."""
        return (*"xyz"[: self.skeleton.dimensions], *(("score",) if self.scored else ()))


class Bodies(NamedTuple):
    """Arrays of a `SkeletonSample`, named and laid out as there; B bodies over T frames."""

    frame_bodies: np.ndarray  # (T,) int32
    xyz: np.ndarray  # (B, V, C) float32
    joint_state: np.ndarray | None  # (B, V) int8; None where every joint of every body is known
    score: np.ndarray | None  # (B, V) float32


def bodies_of(values: np.ndarray, score: np.ndarray | None, layout: Layout, where: str) -> Bodies:
    """Bodies of an array (T, V, C) or (T, M, V, C) of numbers, NaN where a coordinate is unknown.

    A body of which nothing is known, all its joints NaN or exactly zero, is absent. Before a person
    who is there it stays as zeros, so that the place in the frame's list tells who is who. Single
    joints with a NaN become zero and `joint_state` 0 (lost), all others are 2 (tracked). `score`
    has the array's shape without its last axis; in a scored layout it lies in the array itself.

    Raises:
        DataError: the shape does not fit the skeleton, or a number is infinite or no number;
            `where` names the file.
    """
    values = _numbers(values, "array", where)
    values = _with_persons(values, layout, where)
    if layout.scored:
        values, score = values[..., :-1], values[..., -1]
    elif score is not None:
        score = _fitting_score(score, values, where)
    _refuse_infinite(values, layout.skeleton, where)
    unknown = np.isnan(values).any(axis=-1)  # (T, M, V)
    nothing = unknown | (values == 0).all(axis=-1)
    listed = _listed(~nothing.all(axis=-1))
    known = np.where(unknown[..., None], np.float32(0), values)[listed]
    lost = (unknown | nothing.all(axis=-1, keepdims=True))[listed]
    return Bodies(
        frame_bodies=listed.sum(axis=1, dtype=np.int32),
        xyz=known,
        joint_state=np.where(lost, 0, 2).astype(np.int8) if lost.any() else None,
        score=None if score is None else _known_score(score[listed], lost, where),
    )


def _numbers(values: np.ndarray, what: str, where: str) -> np.ndarray:
    if values.dtype.kind not in "iuf":
        raise DataError(f"{where}: the {what} holds {values.dtype} values, expected numbers")
    with np.errstate(
        over="ignore", invalid="ignore"
    ):  # what float32 cannot hold becomes infinite and is refused
        return values.astype(np.float32)


def _with_persons(values: np.ndarray, layout: Layout, where: str) -> np.ndarray:
    """(T, V, C) or (T, M, V, C) as (T, M, V, C)."""
    joint = (layout.skeleton.n_joints, layout.width)
    if values.ndim in (3, 4) and values.shape[-2:] == joint:
        return values if values.ndim == 4 else values[:, None]
    shape = ", ".join(map(str, joint))
    raise DataError(
        f"{where}: the array is {values.shape}, expected (T, {shape}) or (T, persons, {shape})"
        f"{_hint(values.shape, layout)}"
    )


def _hint(shape: tuple[int, ...], layout: Layout) -> str:
    """What an array of another shape probably is, and what to do."""
    joints, width = layout.skeleton.n_joints, layout.width
    if len(shape) == 4 and (shape[0], shape[2]) == (width, joints):
        return "; it looks like (C, T, V, M): save array.transpose(1, 3, 2, 0)"
    if len(shape) == 2 and shape[1] == joints * width:
        return f"; it looks flat: save array.reshape(-1, {joints}, {width})"
    if shape[-2:] == (joints, width + 1) and not layout.scored:
        return "; if the last number of a joint is its score, set scored = True in the class"
    return ""


def _fitting_score(score: np.ndarray, values: np.ndarray, where: str) -> np.ndarray:
    score = _numbers(score, "score", where)
    frames, persons, joints, _ = values.shape
    if score.ndim == 2:
        score = score[:, None]
    if score.shape != values.shape[:-1]:
        expected = f"({frames}, {persons}, {joints})"
        raise DataError(f"{where}: the score is {score.shape}, expected {expected} like the array")
    return score


def _refuse_infinite(values: np.ndarray, skeleton: SkeletonSpec, where: str) -> None:
    infinite = np.isinf(values)
    if infinite.any():
        frame, person, joint, axis = np.argwhere(infinite)[0]
        raise DataError(
            f"{where}: frame {frame}, person {person}, joint {skeleton.joints[joint]!r}: "
            f"{'xyz'[axis]} is infinite or too large"
        )


def _listed(present: np.ndarray) -> np.ndarray:
    """Which of (T, M) are in a frame's list: everybody up to the last who is present."""
    later = np.flip(np.logical_or.accumulate(np.flip(present, axis=1), axis=1), axis=1)
    return np.asarray(later)


def _known_score(score: np.ndarray, lost: np.ndarray, where: str) -> np.ndarray:
    """(B, V) float32; a lost joint scores 0."""
    score = np.where(lost, np.float32(0), score)
    if not np.isfinite(score).all():
        raise DataError(f"{where}: a joint's score is not a finite number")
    return score
