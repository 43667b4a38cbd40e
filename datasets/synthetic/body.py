"""A person as a tree of rigid bones: proportions, and where the joints are for given joint angles.

The body's own axes are right-handed: x to the person's right, y up, z to the back, so that a body
in a camera's axes (z away from the camera) faces that camera. T frames, V = 25 joints of KINECT_V2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from skelray.platform.skeleton.specs import KINECT_V2

JOINTS = len(KINECT_V2.joints)
ROOT = KINECT_V2.root
ANGLES = ("flexion", "abduction", "twist")

# (joint, "flexion" | "abduction" | "twist") -> (T,) degrees from the standing rest pose. Flexion
# bends forward (the knee: backward), abduction leads away from the trunk, twist turns outward; for
# the joints of the spine the last two mean "to the person's right".
Curves = Mapping[tuple[str, str], np.ndarray]

# Joint -> (parent, offset from it at rest in hundredths of the stature, factor of its length).
# Left joints mirror the right ones. Lengths follow what the sensor reports, which is not anatomy.
_REST: dict[str, tuple[str, tuple[float, float, float], str]] = {
    "mid spine": ("base of spine", (0, 17.5, 0.5), "trunk"),
    "spine at shoulders": ("mid spine", (0, 12.8, 0.5), "trunk"),
    "neck": ("spine at shoulders", (0, 4.2, -0.3), "trunk"),
    "head": ("neck", (0, 8.0, -1.2), "trunk"),
    "right shoulder": ("spine at shoulders", (9.6, -3.2, 0.3), "width"),
    "right elbow": ("right shoulder", (0, -15.6, 0), "arms"),
    "right wrist": ("right elbow", (0, -14.0, 0), "arms"),
    "right hand": ("right wrist", (0, -4.0, 0), "arms"),
    "right hand tip": ("right hand", (0, -4.2, 0), "arms"),
    "right thumb": ("right hand", (0, -2.0, -2.5), "arms"),
    "right hip": ("base of spine", (4.3, -1.0, 0), "width"),
    "right knee": ("right hip", (0.4, -21.5, -0.5), "legs"),
    "right ankle": ("right knee", (0.2, -21.0, 1.0), "legs"),
    "right foot": ("right ankle", (0.6, -3.5, -6.5), "legs"),
}
_ANKLES = (KINECT_V2.joints.index("left ankle"), KINECT_V2.joints.index("right ankle"))
_ANKLE_HEIGHT = 0.055  # of the stature, above the floor


@dataclass(frozen=True)
class Proportions:
    """A person's size: the stature in metres, and factors on the rest pose's lengths."""

    stature: float
    trunk: float = 1.0
    arms: float = 1.0
    legs: float = 1.0
    width: float = 1.0

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Proportions:
        """An adult."""
        stature = float(np.clip(rng.normal(1.70, 0.09), 1.50, 1.95))
        factors = rng.normal(1.0, (0.03, 0.05, 0.04, 0.07))
        return cls(stature, *factors.tolist())

    def offsets(self) -> np.ndarray:
        """(V, 3) metres: each joint from its parent at rest; zero for the root."""
        offsets = np.zeros((JOINTS, 3))
        for joint, (_, offset, length) in _REST.items():
            metres = np.array(offset) / 100 * self.stature * getattr(self, length)
            offsets[KINECT_V2.joints.index(joint)] = metres
        for left, right in KINECT_V2.left_right:
            offsets[left] = offsets[right] * (-1, 1, 1)
        return offsets


def _parents() -> dict[int, int]:
    """Joint -> parent for all but the root, parents first."""
    index = KINECT_V2.joints.index
    mirror = {right: left for left, right in KINECT_V2.left_right}
    parents: dict[int, int] = {}
    for joint, (parent, _, _) in _REST.items():
        parents[index(joint)] = index(parent)
        if index(joint) in mirror:
            parents[mirror[index(joint)]] = mirror.get(index(parent), index(parent))
    return parents


PARENTS = _parents()


def _signs() -> np.ndarray:
    """(V, 3): turns anatomical angles into right-handed ones about x, z and y."""
    signs = np.array([[1.0, 1.0, -1.0]] * JOINTS)
    for name in ("base of spine", "mid spine", "spine at shoulders", "neck", "head"):
        signs[KINECT_V2.joints.index(name)] = (-1, -1, -1)  # the chain leads up: forward is -x
    for left, right in KINECT_V2.left_right:
        if "knee" in KINECT_V2.joints[right]:
            signs[[left, right], 0] = -1
        signs[left, 1:] *= -1
    return signs


_SIGNS = _signs()


def rotation(axis: int, angle: np.ndarray | float) -> np.ndarray:
    """(…, 3, 3): right-handed rotation by `angle` (…) in radians about x, y or z (0, 1, 2)."""
    matrix = np.zeros((*np.shape(angle), 3, 3))
    after, last = (axis + 1) % 3, (axis + 2) % 3
    matrix[..., axis, axis] = 1
    matrix[..., after, after] = matrix[..., last, last] = np.cos(angle)
    matrix[..., last, after] = np.sin(angle)
    matrix[..., after, last] = -matrix[..., last, after]
    return matrix


def _local_rotations(curves: Curves, frames: int) -> np.ndarray:
    """(T, V, 3, 3): the turn of each joint's outer bones against its inner one."""
    angles = np.zeros((frames, JOINTS, len(ANGLES)))
    for (joint, angle), degrees in curves.items():
        angles[:, KINECT_V2.joints.index(joint), ANGLES.index(angle)] = np.radians(degrees)
    angles *= _SIGNS
    # Twist acts first, about the bone itself; so a raised arm's twist still turns the forearm.
    return rotation(0, angles[..., 0]) @ rotation(2, angles[..., 1]) @ rotation(1, angles[..., 2])


def _chain(offsets: np.ndarray, local: np.ndarray) -> np.ndarray:
    """(T, V, 3): forward kinematics from the root at the origin."""
    positions = np.zeros(local.shape[:-1])
    turned = local.copy()
    for joint, parent in PARENTS.items():
        positions[:, joint] = positions[:, parent] + turned[:, parent] @ offsets[joint]
        turned[:, joint] = turned[:, parent] @ local[:, joint]
    return positions


def joint_positions(proportions: Proportions, curves: Curves, frames: int) -> np.ndarray:
    """(T, V, 3) metres: the body standing at the origin of the floor (y = 0), moving in place.

    The lower ankle stays on the floor and where it stood at rest, so nothing slides or floats: who
    bends the legs goes down, who kicks stands on the other leg, who sits moves the pelvis back.
    """
    offsets = proportions.offsets()
    positions = _chain(offsets, _local_rotations(curves, frames))
    rest = _chain(offsets, np.broadcast_to(np.eye(3), (1, JOINTS, 3, 3)))
    ankles, ankles_at_rest = positions[:, _ANKLES], rest[:, _ANKLES]
    height = ankles[..., 1]
    lowest = height.min(axis=1, keepdims=True)
    support = np.exp((lowest - height) / 0.03)  # soft over 3 cm: weight passes smoothly
    support /= support.sum(axis=1, keepdims=True)
    drift = np.sum(support[..., None] * (ankles - ankles_at_rest), axis=1)
    drift[:, 1] = lowest[:, 0] - _ANKLE_HEIGHT * proportions.stature
    return positions - drift[:, None]
