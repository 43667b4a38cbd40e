"""Which recordings a set of a given size holds, and the text of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np

from skelray.datasets.synthetic.actions import ACTIONS
from skelray.datasets.synthetic.camera import AZIMUTHS, FACED, SETUPS, azimuth, seen_from
from skelray.datasets.synthetic.performance import Subject, perform
from skelray.datasets.synthetic.tracking import track
from skelray.datasets.synthetic.writer import FIRST_BODY_ID, skeleton_text

_SUBJECT, _PERFORMANCE, _TRACKING = range(3)  # what a generator draws


@dataclass(frozen=True)
class Recording:
    """One file: numbers as in NTU's names, all counted from 1."""

    setup: int
    camera: int
    subject: int
    replication: int
    action: int

    @property
    def name(self) -> str:
        """NTU's name, such as S033C002P001R002A012."""
        return (
            f"S{self.setup:03d}C{self.camera:03d}P{self.subject:03d}"
            f"R{self.replication:03d}A{self.action:03d}"
        )


def _setup(subject: int) -> int:
    """A subject comes once, to one setup; each setup sees subjects of both halves."""
    setups = sorted(SETUPS)
    return setups[(subject - 1) // 2 % len(setups)]


def _all_of(subjects: int) -> tuple[Recording, ...]:
    """Every action of that many subjects, twice, by all cameras."""
    return tuple(
        Recording(_setup(subject), camera, subject, replication, action)
        for subject, replication, action, camera in product(
            range(1, subjects + 1), FACED, range(1, len(ACTIONS) + 1), AZIMUTHS
        )
    )


def _tiny() -> tuple[Recording, ...]:
    """The least that fills every part of every protocol with every action."""
    chosen = ((1, 1, 2), (1, 2, 2), (2, 3, 1), (3, 3, 1))  # subject, camera, replication
    return tuple(
        Recording(_setup(subject), camera, subject, replication, action)
        for subject, camera, replication in chosen
        for action in range(1, len(ACTIONS) + 1)
    )


SIZES: Mapping[str, tuple[Recording, ...]] = {
    "tiny": _tiny(),
    "small": _all_of(8),
    "full": _all_of(40),
}


@cache
def _subject(seed: int, number: int) -> Subject:
    return Subject.draw(np.random.default_rng((seed, _SUBJECT, number)))


def _partner(number: int) -> int:
    """Who helps a subject with actions of two: the next but one, who is of the same half."""
    return number + 2


def record(recording: Recording, seed: int) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """What the camera's tracker reports: positions (P, T, V, 3), states (P, T, V), body ids.

    The cameras of one performance see the same movement at the same time.
    """
    action = ACTIONS[recording.action - 1]
    numbers = (recording.subject, _partner(recording.subject))[: len(action.motions)]
    performance = (recording.subject, recording.replication, recording.action)
    room = perform(
        action,
        tuple(_subject(seed, number) for number in numbers),
        heading=azimuth(FACED[recording.replication]),
        rng=np.random.default_rng((seed, _PERFORMANCE, *performance)),
    )
    rng = np.random.default_rng((seed, _TRACKING, *performance, recording.camera))
    xyz, state = track(seen_from(room, camera=recording.camera, setup=recording.setup), rng)
    first = FIRST_BODY_ID + int(rng.integers(1, 20_000))
    return xyz, state, tuple(first + person for person in range(len(room)))


def recording_text(recording: Recording, seed: int) -> str:
    """The recording's `.skeleton` file."""
    return skeleton_text(*record(recording, seed))
