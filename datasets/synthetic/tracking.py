"""How the sensor's body tracker errs: jitter, hidden joints that it infers, and a bias of the view.

P persons, T frames, V = 25 joints; positions in the camera's axes (see `camera`), metres.
"""

from __future__ import annotations

import numpy as np

from skelray.datasets.synthetic.body import JOINTS
from skelray.datasets.synthetic.curves import smooth_noise
from skelray.platform.skeleton.specs import KINECT_V2

INFERRED, TRACKED = 1, 2  # Kinect's states of a joint; 0, not tracked, is never written

_TRUNK = (KINECT_V2.root, KINECT_V2.centre)
_STEADY = (0, 1, 2, 3, 20, 4, 8, 12, 16)  # joints the tracker follows well
# Metres: error of joints followed well, of the other limbs, of inferred joints; and what a camera
# gets wrong about a body from a recording's first to its last frame, as it sees one side of it.
_STEADY_ERROR, _LIMB_ERROR, _INFERRED_ERROR = 0.003, 0.010, 0.060
_BIAS = 0.020


def hidden(xyz: np.ndarray) -> np.ndarray:
    """(P, T, V) bool: joints that lie behind their own body's trunk, as seen by the camera."""
    base, top = xyz[:, :, _TRUNK[0], None], xyz[:, :, _TRUNK[1], None]
    share = (xyz[..., 1] - base[..., 1]) / (top[..., 1] - base[..., 1] + 1e-6)
    axis = base + np.clip(share, 0, 1)[..., None] * (top - base)
    offset = xyz - axis
    in_outline = (np.abs(offset[..., 0]) < 0.12) & (share > -0.2) & (share < 1.1)
    return in_outline & (offset[..., 2] > 0.08)


def track(xyz: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """What the tracker reports for true positions (P, T, V, 3): positions and states (P, T, V).

    A tracked joint (2) jitters by millimetres; a hidden one, and now and then any limb, is
    inferred (1) and wanders by centimetres.
    """
    persons, frames = xyz.shape[:2]
    lost = smooth_noise(rng, frames, (persons, JOINTS), (0.2, 1.2)).swapaxes(0, 1) > 1.3
    lost[:, :, _STEADY] = False
    inferred = hidden(xyz) | lost
    usual = np.full(JOINTS, _LIMB_ERROR)
    usual[list(_STEADY)] = _STEADY_ERROR
    jitter = rng.normal(size=xyz.shape) * usual[:, None]
    wander = smooth_noise(rng, frames, (persons, JOINTS, 3), (0.3, 2.0)).swapaxes(0, 1)
    error = 0.6 * jitter + 0.8 * wander * np.where(inferred, _INFERRED_ERROR, usual)[..., None]
    bias = _BIAS * rng.normal(size=(persons, 1, JOINTS, 3))
    return xyz + bias + error, np.where(inferred, INFERRED, TRACKED)
