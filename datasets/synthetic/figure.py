"""What a drawn person consists of: balls at the joints, the hulls over them, and their colours.

Every part of the body is the hull of a few balls, such as a forearm of one at the elbow and one at
the wrist; its picture is the convex outline of their discs. P persons, T frames.
"""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from skelray.datasets.synthetic.keypoints import Head
from skelray.platform.skeleton.specs import KINECT_V2

# Balls of the head that no joint stands for: to the right, up, to the front, in lengths from neck
# to head.
_HEAD_BALLS: Mapping[str, tuple[float, float, float]] = {
    "brow": (0.0, 0.12, 0.16),
    "jaw": (0.0, -0.4, 0.2),
    "crown": (0.0, 0.34, -0.06),
    "nape": (0.0, -0.05, -0.34),
    "nose": (0.0, -0.05, 0.78),
    "left eye": (-0.25, 0.18, 0.6),
    "right eye": (0.25, 0.18, 0.6),
}
BALLS = (*KINECT_V2.joints, *_HEAD_BALLS)


@dataclass(frozen=True)
class Part:
    """A hull of balls in one colour."""

    material: str
    balls: tuple[tuple[str, float], ...]  # the ball's name and radius in metres
    front: float = 0.0  # metres: drawn as if it were nearer, as a shirt is over trousers

    @property
    def indices(self) -> list[int]:
        """The balls' places in BALLS."""
        return [BALLS.index(name) for name, _ in self.balls]


_MIDDLE = (
    Part("trousers", (("base of spine", 0.105), ("left hip", 0.09), ("right hip", 0.09))),
    Part(
        "shirt",
        (("mid spine", 0.115), ("base of spine", 0.10), ("left hip", 0.075), ("right hip", 0.075)),
        front=0.03,
    ),
    Part(
        "shirt",
        (
            ("mid spine", 0.118),
            ("spine at shoulders", 0.085),
            ("left shoulder", 0.06),
            ("right shoulder", 0.06),
        ),
        front=0.03,
    ),
    Part("skin", (("spine at shoulders", 0.05), ("neck", 0.05), ("head", 0.05))),
    Part("skin", (("brow", 0.078), ("jaw", 0.056))),
    Part("hair", (("crown", 0.083), ("nape", 0.074)), front=0.01),
    Part("nose", (("nose", 0.018),), front=0.03),
    Part("eyes", (("left eye", 0.012),), front=0.02),
    Part("eyes", (("right eye", 0.012),), front=0.02),
)


def _limbs(side: str) -> tuple[Part, ...]:
    return (
        Part("shirt", ((f"{side} shoulder", 0.06), (f"{side} elbow", 0.046))),
        Part("sleeve", ((f"{side} elbow", 0.044), (f"{side} wrist", 0.033))),
        Part(
            "skin", ((f"{side} wrist", 0.03), (f"{side} hand", 0.042), (f"{side} hand tip", 0.022))
        ),
        Part("trousers", ((f"{side} hip", 0.085), (f"{side} knee", 0.06))),
        Part("trousers", ((f"{side} knee", 0.058), (f"{side} ankle", 0.042))),
        Part("shoes", ((f"{side} ankle", 0.046), (f"{side} foot", 0.036))),
    )


PARTS = (*_MIDDLE, *_limbs("left"), *_limbs("right"))
FLAT = ("nose", "eyes")  # too small for a lit and a dark side


def balls(xyz: np.ndarray) -> np.ndarray:
    """(P, T, len(BALLS), 3): the balls' middles for bodies (P, T, V, 3)."""
    head = Head.of(xyz)
    extra = [head.place(np.array(offset)) for offset in _HEAD_BALLS.values()]
    return np.concatenate([xyz, np.stack(extra, axis=-2)], axis=-2)


def clothes(rng: np.random.Generator) -> Mapping[str, np.ndarray]:
    """Somebody's colours, (3,) RGB from 0 to 255 by material."""
    shirt = _colour(rng.uniform(), rng.uniform(0.25, 0.7), rng.uniform(0.4, 0.85))
    trousers = _colour(rng.uniform(), rng.uniform(0.1, 0.5), rng.uniform(0.18, 0.45))
    skin = np.array([112, 76, 56]) + rng.uniform() * np.array([118, 104, 94])
    hair = _colour(rng.uniform(0.04, 0.11), rng.uniform(0.2, 0.6), rng.uniform(0.1, 0.5))
    return {
        "shirt": shirt,
        "sleeve": shirt if rng.random() < 0.5 else skin,  # long or short ones
        "trousers": trousers,
        "skin": skin,
        "hair": hair,
        "shoes": np.full(3, rng.choice((35, 70, 190))),
        "nose": 0.95 * skin,
        "eyes": np.full(3, 40.0),
    }


def _colour(hue: float, saturation: float, value: float) -> np.ndarray:
    return 255 * np.array(colorsys.hsv_to_rgb(hue, saturation, value))
