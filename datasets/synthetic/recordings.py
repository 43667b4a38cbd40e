"""Which recordings a set of a given size holds, and the text of each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np

from skelray.datasets.synthetic.actions import ACTIONS
from skelray.datasets.synthetic.camera import AZIMUTHS, FACED, SETUPS, azimuth, seen_from
from skelray.datasets.synthetic.faults import Tracked, add_faults
from skelray.datasets.synthetic.performance import Subject, perform
from skelray.datasets.synthetic.tracking import track
from skelray.datasets.synthetic.writer import FIRST_BODY_ID, skeleton_text
from skelray.platform.errors import UsageError

_SUBJECT, _PERFORMANCE, _TRACKING, _FAULTS, _IDS = range(5)  # what a generator draws


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


SUBJECTS: Mapping[str, int] = {"small": 6, "full": 30}
LIMITS = (3, 999)  # fewer subjects leave a part without any; the names hold three digits


def members(size: str) -> tuple[Recording, ...]:
    """The recordings of `tiny`, `small`, `full`, or such as `20-subjects`; UsageError else."""
    if size == "tiny":
        return _tiny()
    number = re.fullmatch("([1-9][0-9]{0,2})-subjects", size)
    subjects = int(number[1]) if number else SUBJECTS.get(size, 0)
    if not LIMITS[0] <= subjects <= LIMITS[1]:
        raise UsageError(
            f"synthetic has no size {size!r}: choose one of tiny, {', '.join(SUBJECTS)}, or a "
            f"number of subjects from {LIMITS[0]} to {LIMITS[1]} such as '20-subjects'"
        )
    return _all_of(subjects)


@cache
def _subject(seed: int, number: int) -> Subject:
    return Subject.draw(np.random.default_rng((seed, _SUBJECT, number)))


def _partner(number: int) -> int:
    """Who helps a subject with actions of two: the next but one, who is of the same half."""
    return number + 2


def record(recording: Recording, seed: int) -> Tracked:
    """What the camera's tracker reports.

    Unlike NTU's, every recording is a performance of its own: were the cameras to see the same one
    at the same time, the training cameras would hold every test performance.
    """
    action = ACTIONS[recording.action - 1]
    numbers = (recording.subject, _partner(recording.subject))[: len(action.motions)]
    room = perform(
        action,
        tuple(_subject(seed, number) for number in numbers),
        heading=azimuth(FACED[recording.replication]),
        rng=_generator(seed, _PERFORMANCE, recording),
    )
    seen = seen_from(room, camera=recording.camera, setup=recording.setup)
    tracked = Tracked.faultless(*track(seen, _generator(seed, _TRACKING, recording)))
    return add_faults(tracked, _generator(seed, _FAULTS, recording))


def _generator(seed: int, purpose: int, recording: Recording) -> np.random.Generator:
    """A stream of its own for each recording and purpose."""
    numbers = (recording.subject, recording.replication, recording.action, recording.camera)
    return np.random.default_rng((seed, purpose, *numbers))


def recording_text(recording: Recording, seed: int) -> str:
    """The recording's `.skeleton` file; the sensor has met some bodies since it was switched on."""
    tracked = record(recording, seed)
    met = int(_generator(seed, _IDS, recording).integers(1, 20_000))
    return skeleton_text(tracked, [FIRST_BODY_ID + met + body for body in range(len(tracked.xyz))])
