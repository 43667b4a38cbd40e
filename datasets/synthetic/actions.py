"""The sixteen actions: one table of joint-angle curves each.

A motion is a function of a `Manner` (when, how fast, how large) and returns curves in degrees that
are added to the performer's posture. Some actions differ only by side, some only by direction in
time, some only by one limb.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from skelray.datasets.synthetic.body import Curves
from skelray.datasets.synthetic.curves import smooth_step


@dataclass(frozen=True)
class Manner:
    """How one person carries out one performance."""

    time: np.ndarray  # (T,) seconds from the first frame
    start: float  # seconds: the action's first
    end: float  # seconds: and last moment
    tempo: float  # 1 is usual
    amplitude: float  # 1 is usual
    phase: float  # radians: where repeated motions begin
    variant: float  # about -1…1: which of several natural ways

    def once(self) -> np.ndarray:
        """(T,): from 0 to 1, and there it stays."""
        return smooth_step((self.time - self.start) / (self.end - self.start))

    def evenly(self) -> np.ndarray:
        """(T,): from 0 to 1 at constant speed."""
        return np.clip((self.time - self.start) / (self.end - self.start), 0, 1)

    def held(self, edge: float = 0.3) -> np.ndarray:
        """(T,): from 0 to 1 and back; `edge` is each change's share of the action's time."""
        fraction = (self.time - self.start) / (self.end - self.start)
        return smooth_step(fraction / edge) * smooth_step((1 - fraction) / edge)

    def cycle(self, hertz: float, offset: float = 0.0) -> np.ndarray:
        """(T,): a sine at `hertz` for the usual tempo; `offset` in radians."""
        return np.sin(2 * np.pi * hertz * self.tempo * self.time + self.phase + offset)

    def strokes(self, hertz: float) -> np.ndarray:
        """(T,): 0…1 pulses, one per period, while the action lasts."""
        beat = np.sin(2 * np.pi * hertz * self.tempo * (self.time - self.start) - np.pi / 2)
        return (0.5 + 0.5 * beat) ** 1.5 * self.held(0.15)


Motion = Callable[[Manner], Curves]


def wave(manner: Manner, side: str) -> Curves:
    """One hand up beside the head, the forearm swinging from side to side."""
    up = manner.held(0.25)
    swing = up * manner.cycle(1.5) * manner.amplitude
    return {
        (f"{side} shoulder", "abduction"): up * (62 + 22 * manner.variant) + 6 * swing,
        (f"{side} shoulder", "flexion"): up * (18 - 10 * manner.variant),
        (f"{side} shoulder", "twist"): up * 78 + 18 * swing,
        (f"{side} elbow", "flexion"): up * (72 - 18 * manner.variant) + 24 * swing,
        (f"{side} wrist", "abduction"): 15 * swing,
    }


def _elevation(degrees: np.ndarray, plane: float) -> tuple[np.ndarray, np.ndarray]:
    """Flexion and abduction (T,) that lift a straight arm by `degrees` from hanging down.

    `plane` is the direction it passes: 0 to the front, 90 to the side.
    """
    lift, plane = np.radians(degrees), np.radians(plane)
    abduction = np.arcsin(np.sin(lift) * np.sin(plane))
    flexion = np.arctan2(np.sin(lift) * np.cos(plane), np.cos(lift))
    return np.degrees(flexion), np.degrees(abduction)


def raise_arms(manner: Manner, sides: tuple[str, ...]) -> Curves:
    """The arms of these sides up and down again, more to the front or more to the sides."""
    up = manner.held(0.42) * manner.amplitude
    flexion, abduction = _elevation(145 * up, 38 + 27 * manner.variant)
    curves: dict[tuple[str, str], np.ndarray] = {
        ("neck", "flexion"): -10 * up,
        ("mid spine", "flexion"): -6 * up,
    }
    for side in sides:
        curves[f"{side} shoulder", "flexion"] = flexion
        curves[f"{side} shoulder", "abduction"] = abduction
        curves[f"{side} elbow", "flexion"] = up * 12
    return curves


def circle_arm(manner: Manner, direction: int) -> Curves:
    """The straight right arm twice round at the side: 1 leads up in front, -1 up behind."""
    turned = 0.5 * manner.once() + 0.5 * manner.evenly()  # the arm arrives with less of a halt
    return {
        ("right shoulder", "flexion"): direction * 720 * turned,
        ("right shoulder", "abduction"): manner.held(0.2) * (22 + 14 * manner.variant),
        ("mid spine", "twist"): 5 * np.sin(4 * np.pi * turned) * direction,
    }


def drink(manner: Manner) -> Curves:
    """The right hand to the mouth, the head tilted back, the hand down again."""
    up = manner.held(0.35)
    tilt = manner.held(0.48) ** 2 * manner.amplitude
    return {
        ("right shoulder", "flexion"): up * (56 + 8 * manner.variant) + 16 * tilt,
        ("right shoulder", "abduction"): up * (8 + 10 * manner.variant),
        ("right shoulder", "twist"): up * -30,
        ("right elbow", "flexion"): up * 130,
        ("neck", "flexion"): -16 * tilt,
    }


def punch(manner: Manner) -> Curves:
    """From a guard, the right fist straight ahead, once or more."""
    guard = manner.held(0.2)
    thrust = manner.strokes(0.9) * manner.amplitude
    return {
        ("right shoulder", "flexion"): guard * (18 + 8 * manner.variant) + 62 * thrust,
        ("right shoulder", "abduction"): guard * 14 - 10 * thrust,
        ("right elbow", "flexion"): guard * 105 - 95 * thrust,
        ("left shoulder", "flexion"): guard * (20 - 8 * manner.variant),
        ("left elbow", "flexion"): guard * 85,
        ("mid spine", "twist"): -22 * thrust,
        ("mid spine", "flexion"): 8 * guard,
    }


def kick(manner: Manner, side: str) -> Curves:
    """One leg swung to the front, the knee first bent, then stretched."""
    swing = manner.strokes(0.8) * manner.amplitude
    other = "left" if side == "right" else "right"
    return {
        (f"{side} hip", "flexion"): (62 + 14 * manner.variant) * swing,
        (f"{side} knee", "flexion"): 200 * swing * (1 - np.clip(swing, 0, 1)) + 6 * swing,
        (f"{other} knee", "flexion"): 10 * swing,
        (f"{other} hip", "flexion"): 8 * swing,
        ("mid spine", "flexion"): -10 * swing,
        ("left shoulder", "abduction"): 16 * swing,
        ("right shoulder", "abduction"): 16 * swing,
        (f"{other} shoulder", "flexion"): 24 * swing,
    }


def _seated(share: np.ndarray, manner: Manner) -> Curves:
    """`share` 0 stands, 1 sits; in between the trunk leans forward over the feet."""
    lean = 4 * share * (1 - share) * (30 + 8 * manner.variant) * manner.amplitude
    curves = {("base of spine", "flexion"): lean + 4 * share, ("mid spine", "flexion"): 8 * share}
    for side in ("left", "right"):
        curves[f"{side} hip", "flexion"] = 84 * share + lean
        curves[f"{side} hip", "abduction"] = 7 * share
        curves[f"{side} knee", "flexion"] = 86 * share
        curves[f"{side} shoulder", "flexion"] = (26 + 8 * manner.variant) * share + 0.6 * lean
        curves[f"{side} elbow", "flexion"] = 42 * share
    return curves


def sit_down(manner: Manner) -> Curves:
    """From standing to sitting."""
    return _seated(manner.once(), manner)


def stand_up(manner: Manner) -> Curves:
    """From sitting to standing: `sit_down` backward in time."""
    return _seated(1 - manner.once(), manner)


def bow(manner: Manner) -> Curves:
    """The trunk forward from the hips and up again, the legs straight."""
    down = manner.held(0.45) * (56 + 14 * manner.variant) * manner.amplitude
    curves = {("base of spine", "flexion"): down, ("mid spine", "flexion"): 0.25 * down}
    for side in ("left", "right"):
        curves[f"{side} hip", "flexion"] = down
        curves[f"{side} shoulder", "flexion"] = 0.5 * down
    return curves


def walk_on_the_spot(manner: Manner) -> Curves:
    """Knees up in turn, the arms swinging against the legs, all the time."""
    curves = {}
    for side, other, offset in (("left", "right", 0.0), ("right", "left", np.pi)):
        swing = manner.cycle(0.95, offset) * manner.amplitude
        lift = np.clip(swing, 0, None) ** 1.3
        curves[f"{side} hip", "flexion"] = (38 + 12 * manner.variant) * lift
        curves[f"{side} knee", "flexion"] = (66 + 12 * manner.variant) * lift
        curves[f"{other} shoulder", "flexion"] = 22 * swing
        curves[f"{other} elbow", "flexion"] = 14 + 10 * swing
    return curves


def shake_hands(manner: Manner) -> Curves:
    """The right hand out to the other person, and up and down in it."""
    out = manner.held(0.3)
    shake = manner.held(0.42) * manner.cycle(2.2) * manner.amplitude
    return {
        ("right shoulder", "flexion"): (36 + 6 * manner.variant) * out + 4 * shake,
        ("right shoulder", "twist"): -18 * out,
        ("right elbow", "flexion"): (42 - 6 * manner.variant) * out + 9 * shake,
        ("base of spine", "flexion"): 6 * out,
        ("left hip", "flexion"): 6 * out,
        ("right hip", "flexion"): 6 * out,
    }


def push(manner: Manner) -> Curves:
    """Both hands to the chest, then against the other person."""
    ready, thrust = manner.held(0.35), manner.held(0.5) ** 2 * manner.amplitude
    curves = {
        ("base of spine", "flexion"): 4 * ready + 8 * thrust,
        ("mid spine", "flexion"): 4 * thrust,
        ("left hip", "flexion"): 4 * ready + 8 * thrust,
        ("right hip", "flexion"): 4 * ready + 8 * thrust,
    }
    for side in ("left", "right"):
        curves[f"{side} shoulder", "flexion"] = (14 + 6 * manner.variant) * ready + 54 * thrust
        curves[f"{side} shoulder", "abduction"] = 8 * ready
        curves[f"{side} elbow", "flexion"] = 112 * ready - 88 * thrust
    return curves


def give_way(manner: Manner) -> Curves:
    """The trunk back and the arms up, as of somebody who is pushed."""
    later = replace(manner, start=(manner.start + manner.end) / 2 - 0.15)
    back = later.held(0.4) * manner.amplitude
    return {
        ("base of spine", "flexion"): -14 * back,
        ("mid spine", "flexion"): -8 * back,
        ("neck", "flexion"): 10 * back,
        ("left hip", "flexion"): -14 * back,
        ("right hip", "flexion"): -14 * back,
        ("left shoulder", "flexion"): (20 + 10 * manner.variant) * back,
        ("right shoulder", "flexion"): (20 - 10 * manner.variant) * back,
        ("left elbow", "flexion"): 24 * back,
        ("right elbow", "flexion"): 24 * back,
    }


@dataclass(frozen=True)
class Action:
    """A class of the data set."""

    name: str
    motions: tuple[Motion, ...]  # one per person
    seconds: float  # the usual length, without the standing before and after
    # where two persons meet: a joint of the first, one of the second
    contact: tuple[str, str] | None = None


ACTIONS = (
    Action("wave right hand", (partial(wave, side="right"),), 1.8),
    Action("wave left hand", (partial(wave, side="left"),), 1.8),
    Action("raise both arms", (partial(raise_arms, sides=("left", "right")),), 1.6),
    Action("raise right arm", (partial(raise_arms, sides=("right",)),), 1.6),
    Action("circle right arm backward", (partial(circle_arm, direction=1),), 2.0),
    Action("circle right arm forward", (partial(circle_arm, direction=-1),), 2.0),
    Action("drink with right hand", (drink,), 1.8),
    Action("punch with right hand", (punch,), 1.5),
    Action("kick with right leg", (partial(kick, side="right"),), 1.3),
    Action("kick with left leg", (partial(kick, side="left"),), 1.3),
    Action("sit down", (sit_down,), 1.3),
    Action("stand up", (stand_up,), 1.3),
    Action("bow", (bow,), 1.6),
    Action("walk on the spot", (walk_on_the_spot,), 2.0),
    Action("shake hands", (shake_hands, shake_hands), 1.6, contact=("right hand", "right hand")),
    Action("push another person", (push, give_way), 1.6, contact=("right hand", "left shoulder")),
)
