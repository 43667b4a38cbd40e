"""One recording: bodies that jump, stand still, change their size, scores that are none.

All distances are measured in the size of the recording's own bodies, so that units do not matter.
B bodies over T frames, V joints, C coordinates.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from skelray.platform.dataset import Dataset, SkeletonSample
from skelray.platform.skeleton.spec import SkeletonSpec
from skelray.platform.validation.findings import Kind

JUMPS = Kind(
    "warning",
    "recordings in which a person jumps",
    "two people swapped, or a tracking error: body_id tells people apart",
)
RESIZED = Kind(
    "warning",
    "recordings in which a person changes size",
    "another unit or joint order in some frames",
)
FROZEN = Kind("warning", "recordings in which nobody moves", "one frame written many times")
SCORES = Kind("warning", "recordings with scores outside 0 to 1", "a coordinate read as score")
CROWDED = Kind(
    "note", "recordings with more bodies in a frame than persons", "methods read the first ones"
)

_JUMP = 0.5  # sizes from frame to frame: 0.8 m for an adult; sprinters at 15 frames/s stay below
_RESIZED = 2.0  # times the bones' total length: sensors and estimators stay below 1.6
_FROZEN = 5  # frames


@dataclass(frozen=True)
class Track:
    """One person's frames in order; NaN where a joint is not known."""

    frame: np.ndarray  # (n,) int64
    xyz: np.ndarray  # (n, V, C) float64

    @property
    def steps(self) -> np.ndarray:
        """How far the middle joint moves to each next frame (n - 1,); NaN where one is missing."""
        moved = np.linalg.norm(np.diff(self.xyz, axis=0), axis=-1)
        moved[np.diff(self.frame) != 1] = np.nan
        return _median(moved)

    @property
    def still(self) -> bool:
        """True where all of many frames are the same."""
        same = np.array_equal(self.xyz[1:], self.xyz[:-1], equal_nan=True)
        return same and len(self.xyz) >= _FROZEN


def tracks(sample: SkeletonSample) -> list[Track]:
    """The people of a recording: by body id, else by place in the frame's list.

    Joints at exactly zero count as unknown, bodies without any known joint as absent.
    """
    counts = np.asarray(sample.frame_bodies, dtype=np.int64)
    frame = np.repeat(np.arange(len(counts)), counts)
    place = np.arange(len(frame)) - np.repeat(np.cumsum(counts) - counts, counts)
    who = place if sample.body_id is None else sample.body_id
    known = (sample.xyz != 0).any(axis=-1)  # (B, V)
    xyz = np.where(known[..., None], sample.xyz.astype(np.float64), np.nan)
    there = known.any(axis=-1)
    return [
        Track(frame[there & (who == number)], xyz[there & (who == number)])
        for number in np.unique(who[there])
    ]


def size_of(people: list[Track]) -> float:
    """From corner to corner of the box about a body: the median over all bodies; NaN for none."""
    boxes = [np.nanmax(p.xyz, axis=1) - np.nanmin(p.xyz, axis=1) for p in people]
    return float(np.median(np.linalg.norm(np.concatenate(boxes), axis=-1))) if boxes else np.nan


def check_motion(
    sample: SkeletonSample, people: list[Track], dataset: type[Dataset]
) -> Iterator[tuple[Kind, str]]:
    """What is suspicious in a recording whose arrays fit the data set; details name the frame."""
    skeleton = dataset.skeleton
    if jump := next(_jumps(people, skeleton), None):
        yield JUMPS, f"{sample.id}: {jump}"
    stretch = max((_stretch(person, skeleton) for person in people), default=1.0)
    if skeleton.dimensions == 3 and stretch > _RESIZED:
        yield RESIZED, f"{sample.id}: bones are {stretch:.1f} times as long in some frames"
    if people and all(person.still for person in people):
        yield FROZEN, f"{sample.id}: {sample.frames} frames are the same"
    if sample.score is not None and not ((sample.score >= 0) & (sample.score <= 1)).all():
        yield SCORES, f"{sample.id}: {np.min(sample.score):.3g} to {np.max(sample.score):.3g}"
    if (most := int(np.max(sample.frame_bodies))) > dataset.persons:
        yield CROWDED, f"{sample.id}: {most} bodies, persons is {dataset.persons}"


def _jumps(people: list[Track], skeleton: SkeletonSpec) -> Iterator[str]:
    """The largest jump of each person who makes one."""
    size = size_of(people)
    for person in people:
        steps = person.steps
        if (jumps := np.flatnonzero(steps > _JUMP * size)).size:
            step = jumps[np.argmax(steps[jumps])]
            others = f" ({len(jumps)} jumps in all)" if len(jumps) > 1 else ""
            yield (
                f"{steps[step]:.3g} {skeleton.unit} into frame {person.frame[step + 1]}, "
                f"{steps[step] / size:.1f} times the body's size{others}"
            )


def _stretch(person: Track, skeleton: SkeletonSpec) -> float:
    """How many times longer a person's bones are in long frames (90 %) than in short (10 %)."""
    v, w = np.array(skeleton.edges).T
    bones = np.linalg.norm(person.xyz[:, v] - person.xyz[:, w], axis=-1)
    total = bones.sum(axis=1)[~np.isnan(bones).any(axis=1)]  # frames in which all joints are known
    if not len(total):
        return 1.0
    short, long = np.quantile(total, [0.1, 0.9])
    return float(long / short) if short > 0 else np.inf


def _median(values: np.ndarray) -> np.ndarray:
    """Over the last axis, leaving NaNs out; NaN where there are only such."""
    median = np.full(len(values), np.nan)
    unknown = np.isnan(values)
    whole, part = ~unknown.any(axis=-1), unknown.any(axis=-1) & ~unknown.all(axis=-1)
    median[whole] = np.median(values[whole], axis=-1)
    median[part] = np.nanmedian(values[part], axis=-1)  # a hundred times slower
    return median
