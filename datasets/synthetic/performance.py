"""Who performs what and how: subjects with their style, and bodies that move in the room.

The room's axes are right-handed: x and z on the floor, y up, metres; above the origin lies the
point at which all cameras look. Every draw comes from a generator seeded by what it describes, so a
performance is the same whichever recordings are made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from skelray.datasets.synthetic.actions import Action, Manner, Motion
from skelray.datasets.synthetic.body import ROOT, Curves, Proportions, joint_positions, rotation
from skelray.datasets.synthetic.curves import FPS, smooth_noise
from skelray.platform.skeleton.specs import KINECT_V2

FRAMES = (40, 132)  # fewest and most of a recording
_STANDING = (0.6, 3.2)  # seconds, before and after the action together
# Degrees, standard deviations: how a performer stands to the camera, and how they turn meanwhile.
_FACING, _TURNING = 55.0, 15.0
# Degrees: how a performance's stance differs from the subject's posture (standard deviation), and
# how much it then moves by itself (standard deviation over time). Arms that have nothing to do are
# anywhere, and hardly anybody stands still.
_RESTLESS: Mapping[tuple[str, str], tuple[float, float]] = {
    ("base of spine", "flexion"): (2, 0.5),
    ("base of spine", "twist"): (0, 2.5),
    ("mid spine", "flexion"): (4.5, 1.5),
    ("mid spine", "abduction"): (4, 1.5),
    ("mid spine", "twist"): (7, 3),
    ("neck", "flexion"): (7, 3),
    ("neck", "twist"): (13, 5),
    **{
        (f"{side} {joint}", angle): spread
        for side in ("left", "right")
        for joint, angle, spread in (
            ("shoulder", "flexion", (16, 6)),
            ("shoulder", "abduction", (9, 4)),
            ("shoulder", "twist", (20, 6)),
            ("elbow", "flexion", (28, 10)),
            ("wrist", "flexion", (13, 5)),
            ("hip", "abduction", (4, 0.5)),
            ("hip", "flexion", (6, 1)),
            ("knee", "flexion", (6, 1)),
        )
    },
}


# What an arm without a part in the action may do instead of hanging down; degrees.
_IDLE_ARMS: Mapping[str, Mapping[tuple[str, str], float]] = {
    "hand on the hip": {
        ("shoulder", "flexion"): -22,
        ("shoulder", "abduction"): 42,
        ("shoulder", "twist"): -45,
        ("elbow", "flexion"): 95,
    },
    "hand before the belly": {
        ("shoulder", "flexion"): 14,
        ("shoulder", "twist"): -55,
        ("elbow", "flexion"): 95,
    },
    "hand behind the back": {
        ("shoulder", "flexion"): -28,
        ("shoulder", "twist"): -40,
        ("elbow", "flexion"): 55,
    },
    "hand at the chin": {
        ("shoulder", "flexion"): 30,
        ("shoulder", "twist"): -20,
        ("elbow", "flexion"): 125,
    },
}
_IDLE = 0.4  # share of such arms


@dataclass(frozen=True)
class Subject:
    """A person with a body, a posture and habits."""

    proportions: Proportions
    posture: Mapping[tuple[str, str], float]  # degrees, as in Curves, at all times
    tempo: float
    amplitude: float
    variant: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Subject:
        """Somebody."""
        posture = {
            ("mid spine", "flexion"): rng.normal(3, 4),
            ("neck", "flexion"): rng.normal(8, 6),
        }
        for side in ("left", "right"):
            posture[f"{side} shoulder", "abduction"] = abs(rng.normal(9, 4))
            posture[f"{side} elbow", "flexion"] = abs(rng.normal(16, 8))
            posture[f"{side} hip", "abduction"] = abs(rng.normal(4, 2))
        return cls(
            proportions=Proportions.draw(rng),
            posture=posture,
            tempo=float(np.exp(rng.normal(0, 0.2))),
            amplitude=float(np.exp(rng.normal(0, 0.18))),
            variant=float(rng.uniform(-0.7, 0.7)),
        )


def _manner(subject: Subject, action: Action, rng: np.random.Generator) -> Manner:
    """How this subject carries out the action this time, and how long the recording is."""
    tempo = subject.tempo * float(np.exp(rng.normal(0, 0.2)))
    standing, share = rng.uniform(*_STANDING), rng.uniform()
    before, after = standing * share, standing * (1 - share)
    length = action.seconds / tempo
    frames = int(np.clip(round((before + length + after) * FPS), *FRAMES))
    return Manner(
        time=np.arange(frames) / FPS,
        start=before,
        end=min(before + length, (frames - 1) / FPS),
        tempo=tempo,
        amplitude=subject.amplitude * float(np.exp(rng.normal(0, 0.18))),
        phase=float(rng.uniform(0, 2 * np.pi)),
        variant=float(np.clip(subject.variant + rng.normal(0, 0.6), -1, 1)),
    )


def _body(subject: Subject, motion: Motion, manner: Manner, rng: np.random.Generator) -> np.ndarray:
    """(T, V, 3): the subject at the origin, facing -z."""
    frames = len(manner.time)
    spread = np.array(list(_RESTLESS.values()))
    stance = spread[:, 0] * rng.normal(size=len(spread))
    fidget = spread[:, 1] * smooth_noise(rng, frames, (len(spread),), (0.1, 0.7))
    curves = dict(zip(_RESTLESS, (stance + fidget).T, strict=True))
    movement = motion(manner)
    for source in (subject.posture, _idle_arms(movement, rng), movement):
        for key, degrees in source.items():
            curves[key] = curves.get(key, np.zeros(frames)) + degrees
    for key in curves:
        if key[0].endswith(("elbow", "knee")):
            curves[key] = _within_hinge(curves[key])
    return joint_positions(subject.proportions, curves, frames)


def _idle_arms(movement: Curves, rng: np.random.Generator) -> Mapping[tuple[str, str], float]:
    """Degrees of the arms that `movement` leaves alone."""
    idle: dict[tuple[str, str], float] = {}
    for side in ("left", "right"):
        chosen = _IDLE_ARMS[rng.choice(list(_IDLE_ARMS))]
        if rng.random() < _IDLE and (f"{side} shoulder", "flexion") not in movement:
            idle |= {
                (f"{side} {joint}", angle): degrees for (joint, angle), degrees in chosen.items()
            }
    return idle


def _within_hinge(degrees: np.ndarray) -> np.ndarray:
    """Elbows and knees do not bend backward: a soft lower bound at zero."""
    return 4.0 * np.logaddexp(0, degrees / 4.0)


def _meet(first: np.ndarray, second: np.ndarray, contact: tuple[str, str], peak: int) -> np.ndarray:
    """(2, T, V, 3): the second body turned to the first, so that their joints `contact` touch.

    The pair's middle lies at the origin.
    """
    ours, theirs = (KINECT_V2.joints.index(joint) for joint in contact)
    second = second * (-1, 1, -1)
    shift = (first[peak, ours] - second[peak, theirs]) * (1, 0, 1)
    pair = np.stack([first, second + shift])
    return pair - pair[:, peak, ROOT].mean(axis=0) * (1, 0, 1)


def perform(
    action: Action, subjects: tuple[Subject, ...], *, heading: float, rng: np.random.Generator
) -> np.ndarray:
    """(P, T, V, 3) metres in the room: the action's persons, the first one facing `heading`.

    `heading` in radians is a direction as seen from the origin, as a camera's azimuth; it and the
    place are met only roughly, as people do. A pair's first person turns a right angle from it, so
    that the two are seen side by side from there.
    """
    manner = _manner(subjects[0], action, rng)
    bodies = [_body(subjects[0], action.motions[0], manner, rng)]
    if action.contact is None:
        placed = np.stack(bodies)
    else:
        partner = replace(manner, variant=-manner.variant)
        bodies.append(_body(subjects[1], action.motions[1], partner, rng))
        peak = int((manner.start + manner.end) / 2 * FPS)
        placed = _meet(bodies[0], bodies[1], action.contact, peak)
        heading += np.pi / 2
    frames = len(manner.time)
    facing = rng.normal(0, _FACING) + _TURNING * smooth_noise(rng, frames, (), (0.05, 0.3))
    turn = rotation(1, np.radians(facing) - heading).swapaxes(-1, -2)  # (T, 3, 3)
    place = np.array([rng.normal(0, 0.15), 0.0, rng.normal(0, 0.15)])
    return placed @ turn + place
