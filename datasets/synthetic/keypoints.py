"""COCO's 17 key points of a body with Kinect v2's 25 joints: the face, and the joints both have.

P persons, T frames; positions in a camera's axes (see `camera`), metres.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from skelray.datasets.synthetic.tracking import hidden
from skelray.platform.skeleton.specs import COCO, KINECT_V2

_HEAD, _NECK = KINECT_V2.joints.index("head"), KINECT_V2.joints.index("neck")
_LEFT, _RIGHT = KINECT_V2.shoulders
# Key point -> its place from the head's middle to the right, up and to the front, in lengths from
# neck to head (13 cm in an adult).
_FACE = {
    "nose": (0.0, -0.05, 0.82),
    "left eye": (-0.25, 0.18, 0.6),
    "right eye": (0.25, 0.18, 0.6),
    "left ear": (-0.62, 0.05, 0.0),
    "right ear": (0.62, 0.05, 0.0),
}
_OFFSETS = np.array(list(_FACE.values()))
_SHARED = tuple(KINECT_V2.joints.index(name) for name in COCO.joints[len(_FACE) :])
assert COCO.joints[: len(_FACE)] == tuple(_FACE)


class Head(NamedTuple):
    """A head's middle and its own axes."""

    middle: np.ndarray  # (…, 3)
    axes: np.ndarray  # (…, 3, 3): to the person's right, up, to the front; as long as neck to head

    @classmethod
    def of(cls, xyz: np.ndarray) -> Head:
        """The heads of bodies (…, V, 3): up leads from the neck; it faces where the chest does."""
        up = xyz[..., _HEAD, :] - xyz[..., _NECK, :]
        length = np.linalg.norm(up, axis=-1, keepdims=True)
        front = np.cross(up, xyz[..., _RIGHT, :] - xyz[..., _LEFT, :])
        front *= length / np.linalg.norm(front, axis=-1, keepdims=True)
        right = np.cross(front, up) / length
        return cls(xyz[..., _HEAD, :], np.stack([right, up, front], axis=-2))

    def place(self, offset: np.ndarray) -> np.ndarray:
        """(…, 3): the point that far to the right, up and to the front of the middle."""
        return self.middle + offset @ self.axes


def keypoints(xyz: np.ndarray) -> np.ndarray:
    """(P, T, 17, 3) of bodies (P, T, 25, 3).

    Sides are the skeleton's: its right shoulder is the right shoulder here, although the picture
    shows it as a mirror does.
    """
    head = Head.of(xyz)
    face = np.stack([head.place(offset) for offset in _OFFSETS], axis=-2)
    return np.concatenate([face, xyz[..., _SHARED, :]], axis=-2)


def occluded(xyz: np.ndarray) -> np.ndarray:
    """(P, T, 17) bool: key points that their own body's trunk or head hides from the camera."""
    head = Head.of(xyz)
    to_camera = -head.middle / np.linalg.norm(head.middle, axis=-1, keepdims=True)
    away = [np.sum(offset @ head.axes * to_camera, axis=-1) < 0 for offset in _OFFSETS]
    return np.concatenate([np.stack(away, axis=-1), hidden(xyz)[..., _SHARED]], axis=-1)
