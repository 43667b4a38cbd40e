"""Three depth cameras: where they stand, what they see, and how their body tracker errs.

A camera's axes are Kinect's: x to the left of the sensor (to the right in its mirrored image), y up,
z away from it, metres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skelray.datasets.synthetic.body import JOINTS, ROOT
from skelray.datasets.synthetic.performance import smooth_noise
from skelray.platform.skeleton.specs import KINECT_V2

# Degrees about the vertical. As in NTU RGB+D, camera 1 stands between the other two and a performer
# faces camera 2 in the first replication, camera 3 in the second: camera 1 only sees 45-degree
# views, cameras 2 and 3 see the front once and the side once.
AZIMUTHS = {1: 0.0, 2: -45.0, 3: 45.0}
FACED = {1: 2, 2: 3}  # replication -> camera
SETUPS = {1: (1.7, 3.5), 2: (1.4, 2.9), 3: (1.2, 3.2), 4: (2.1, 4.1)}  # height, distance in metres
_TARGET = np.array([0.0, 0.95, 0.0])  # the point of the room in the middle of every image

_TRUNK = (KINECT_V2.root, KINECT_V2.centre)
_STEADY = (0, 1, 2, 3, 20, 4, 8, 12, 16)  # joints the tracker follows well
# Metres: error of joints followed well, of the other limbs, of inferred joints; and what a camera gets
# wrong about a body in one recording from first to last frame, because it sees one side of it.
_STEADY_ERROR, _LIMB_ERROR, _INFERRED_ERROR = 0.003, 0.010, 0.060
_BIAS = 0.020


@dataclass(frozen=True)
class Lens:
    """A pinhole: focal lengths and middle of the image in pixels, and the image's shift in metres."""

    fx: float
    fy: float
    cx: float
    cy: float
    baseline: float = 0.0

    def project(self, xyz: np.ndarray) -> np.ndarray:
        """(…, 2) pixels of points (…, 3) in the camera's axes; y of the image leads down."""
        x, y, z = np.moveaxis(xyz, -1, 0)
        return np.stack(
            [self.fx * (x + self.baseline) / z + self.cx, self.cy - self.fy * y / z], axis=-1
        )


DEPTH = Lens(366.6, 366.6, 256.0, 208.0)  # 512 x 424
COLOR = Lens(1081.4, 1081.4, 959.5, 539.5, baseline=0.052)  # 1920 x 1080, 52 mm beside the depth lens


def azimuth(camera: int) -> float:
    """The camera's direction from the room's origin, in radians; 0 is -z, positive leads to +x."""
    return float(np.radians(AZIMUTHS[camera]))


def seen_from(room: np.ndarray, *, camera: int, setup: int) -> np.ndarray:
    """Points (…, 3) of the room in the camera's axes."""
    height, distance = SETUPS[setup]
    angle = azimuth(camera)
    eye = np.array([distance * np.sin(angle), height, -distance * np.cos(angle)])
    forward = (_TARGET - eye) / np.linalg.norm(_TARGET - eye)
    side = np.cross([0.0, 1.0, 0.0], forward)
    side /= np.linalg.norm(side)
    axes = np.stack([side, np.cross(forward, side), forward])
    return (room - eye) @ axes.T


def hidden(xyz: np.ndarray) -> np.ndarray:
    """(P, T, V) bool: joints that lie behind their own body's trunk, as seen by the camera."""
    base, top = xyz[:, :, _TRUNK[0], None], xyz[:, :, _TRUNK[1], None]
    share = (xyz[..., 1] - base[..., 1]) / (top[..., 1] - base[..., 1] + 1e-6)
    axis = base + np.clip(share, 0, 1)[..., None] * (top - base)
    offset = xyz - axis
    return (np.abs(offset[..., 0]) < 0.12) & (offset[..., 2] > 0.08) & (share > -0.2) & (share < 1.1)


def track(xyz: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """What the tracker reports for true positions (P, T, V, 3): positions and states (P, T, V).

    A tracked joint (2) jitters by millimetres; a hidden one, and now and then any limb, is
    inferred (1) and wanders by centimetres.
    """
    persons, frames = xyz.shape[:2]
    lost = smooth_noise(rng, frames, (persons, JOINTS), (0.2, 1.2)).swapaxes(0, 1) > 1.8
    lost[:, :, _STEADY] = False
    inferred = hidden(xyz) | lost
    usual = np.full(JOINTS, _LIMB_ERROR)
    usual[list(_STEADY)] = _STEADY_ERROR
    jitter = rng.normal(size=xyz.shape) * usual[:, None]
    wander = smooth_noise(rng, frames, (persons, JOINTS, 3), (0.3, 2.0)).swapaxes(0, 1)
    error = 0.6 * jitter + 0.8 * wander * np.where(inferred, _INFERRED_ERROR, usual)[..., None]
    bias = _BIAS * rng.normal(size=(persons, 1, JOINTS, 3))
    return xyz + bias + error, np.where(inferred, 1, 2)


def lean(xyz: np.ndarray) -> np.ndarray:
    """(P, T, 2): the header's lean to the side and to the camera, -1…1 for 45 degrees."""
    trunk = xyz[:, :, KINECT_V2.centre] - xyz[:, :, ROOT]
    angles = np.arctan2(np.stack([trunk[..., 0], -trunk[..., 2]], axis=-1), trunk[..., 1:2])
    return np.clip(angles / (np.pi / 4), -1, 1)
