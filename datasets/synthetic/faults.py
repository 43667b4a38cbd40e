"""What goes wrong with whole bodies in real files: lost, late, exchanged and invented ones.

B bodies (the persons, then a ghost), T frames, V = 25 joints. Nothing here loses the action: the
first person stays in the list for most of the recording.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from skelray.datasets.synthetic.body import JOINTS, ROOT
from skelray.datasets.synthetic.tracking import INFERRED

LATE, DROPPED, GHOST = 0.04, 0.05, 0.05  # shares of all recordings
PAIR_SWAPPED, PAIR_LOST, PAIR_LATE = 0.10, 0.10, 0.08  # shares of the recordings of two persons


@dataclass(frozen=True)
class Tracked:
    """What one camera's tracker reports."""

    xyz: np.ndarray  # (B, T, V, 3) metres in the camera's axes
    state: np.ndarray  # (B, T, V): INFERRED or TRACKED
    listed: tuple[tuple[int, ...], ...]  # (T): the bodies of each frame in the order of its list

    @classmethod
    def faultless(cls, xyz: np.ndarray, state: np.ndarray) -> Tracked:
        """All bodies in all frames, in the same order."""
        return cls(xyz, state, (tuple(range(len(xyz))),) * xyz.shape[1])


def add_faults(tracked: Tracked, rng: np.random.Generator) -> Tracked:
    """The same recording with whatever goes wrong this time, mostly nothing."""
    listed = [list(bodies) for bodies in tracked.listed]
    if len(tracked.xyz) == 2:
        _pair_faults(listed, rng)
    if rng.random() < GHOST:
        tracked = _with_ghost(tracked, listed, rng)
    if rng.random() < DROPPED:
        for _ in range(rng.integers(1, 4)):
            _empty(listed, _stretch(len(listed), (1, 4), rng))
    if rng.random() < LATE:
        _empty(listed, range(rng.integers(1, 13)))
    return replace(tracked, listed=tuple(tuple(bodies) for bodies in listed))


def _pair_faults(listed: list[list[int]], rng: np.random.Generator) -> None:
    """The second person comes late or gets lost for a while; the two exchange their positions."""
    if rng.random() < PAIR_LATE:
        _without_second(listed, range(rng.integers(5, 26)))
    if rng.random() < PAIR_LOST:
        _without_second(listed, _stretch(len(listed), (3, 20), rng))
    if rng.random() < PAIR_SWAPPED:
        for bodies in listed[rng.integers(len(listed)) :]:
            bodies.reverse()


def _without_second(listed: list[list[int]], frames: range) -> None:
    for frame in frames:
        listed[frame] = [0]


def _empty(listed: list[list[int]], frames: range) -> None:
    for frame in frames:
        listed[frame] = []


def _stretch(frames: int, lengths: tuple[int, int], rng: np.random.Generator) -> range:
    """Neighbouring frames inside a recording of that many, neither its first nor its last."""
    length = rng.integers(lengths[0], lengths[1] + 1)
    first = rng.integers(1, frames - length)
    return range(first, first + length)


def _with_ghost(tracked: Tracked, listed: list[list[int]], rng: np.random.Generator) -> Tracked:
    """One body more, beside the first: its copy for up to ten frames, or furniture for longer.

    Both are what NTU's denoising tells by: a body seen in hardly any frame, and one that is wider
    than it is high.
    """
    noise = rng.normal(0, 0.02, size=tracked.xyz[0].shape)
    if rng.random() < 0.5:
        frames = _stretch(len(listed), (2, 10), rng)
        body = tracked.xyz[0] + noise
    else:
        frames = _stretch(len(listed), (12, 36), rng)
        clutter = rng.uniform(-1, 1, size=(JOINTS, 3)) * (0.45, 0.15, 0.2)
        body = tracked.xyz[0, :1, ROOT, None] + clutter + noise
    body[..., 0] += rng.choice((-1, 1)) * rng.uniform(0.5, 0.9)
    front = rng.random() < 0.3
    for frame in frames:
        listed[frame].insert(0 if front else len(listed[frame]), len(tracked.xyz))
    return replace(
        tracked,
        xyz=np.concatenate([tracked.xyz, body[None]]),
        state=np.concatenate([tracked.state, np.full_like(tracked.state[:1], INFERRED)]),
    )
