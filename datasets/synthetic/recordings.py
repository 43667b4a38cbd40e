"""Which recordings a set of a given size holds, what happens in each, and its text."""

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

# What a generator draws; numbers are never given anew, so that old files keep their bytes.
SUBJECT, PERFORMANCE, TRACKING, FAULTS, IDS, DETECTION, CLOTHES, ROOM, SENSOR = range(9)


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


@cache
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
    return Subject.draw(np.random.default_rng((seed, SUBJECT, number)))


def _partner(number: int) -> int:
    """Who helps a subject with actions of two: the next but one, who is of the same half."""
    return number + 2


def performers(recording: Recording) -> tuple[int, ...]:
    """The subjects' numbers, of the one who performs and of who helps."""
    persons = len(ACTIONS[recording.action - 1].motions)
    return (recording.subject, _partner(recording.subject))[:persons]


def true_bodies(recording: Recording, seed: int) -> np.ndarray:
    """(P, T, V, 3) metres in the camera's axes: where the bodies truly are, always the same.

    Unlike NTU's, every recording is a performance of its own: were the cameras to see the same one
    at the same time, the training cameras would hold every test performance.
    """
    room = perform(
        ACTIONS[recording.action - 1],
        tuple(_subject(seed, number) for number in performers(recording)),
        heading=azimuth(FACED[recording.replication]),
        rng=generator(seed, PERFORMANCE, recording),
    )
    return seen_from(room, camera=recording.camera, setup=recording.setup)


def record(recording: Recording, seed: int) -> Tracked:
    """What the camera's tracker reports."""
    seen = true_bodies(recording, seed)
    tracked = Tracked.faultless(*track(seen, generator(seed, TRACKING, recording)))
    return add_faults(tracked, generator(seed, FAULTS, recording))


def generator(seed: int, purpose: int, recording: Recording) -> np.random.Generator:
    """A stream of its own for each recording and purpose."""
    numbers = (recording.subject, recording.replication, recording.action, recording.camera)
    return np.random.default_rng((seed, purpose, *numbers))


def recording_text(recording: Recording, seed: int) -> str:
    """The recording's `.skeleton` file; the sensor has met some bodies since it was switched on."""
    tracked = record(recording, seed)
    met = int(generator(seed, IDS, recording).integers(1, 20_000))
    return skeleton_text(tracked, [FIRST_BODY_ID + met + body for body in range(len(tracked.xyz))])
