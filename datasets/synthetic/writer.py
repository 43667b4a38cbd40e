"""Writes tracked bodies as NTU RGB+D's `.skeleton` text.

The text: number of frames; per frame the number of bodies; per body ten header numbers, the number
of joints, and per joint x y z, depth-image x y, colour-image x y, orientation w x y z, state. The
orientations are written as zeros, which is what Kinect gives for joints whose orientation it does
not know: nothing in this project reads them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skelray.datasets.synthetic.body import JOINTS, ROOT
from skelray.datasets.synthetic.camera import COLOR, DEPTH
from skelray.datasets.synthetic.faults import Tracked
from skelray.datasets.synthetic.tracking import TRACKED
from skelray.platform.skeleton.specs import KINECT_V2

FIRST_BODY_ID = 72057594037927936  # 2**56: Kinect v2 counts its bodies from here

# clippedEdges, confidence and state of each hand, isRestricted; lean x y; trackingState
_HEADER = "0 %d %d %d %d 0 %.7g %.7g 2"
_JOINT = "%.7g %.7g %.7g %.7g %.7g %.7g %.7g 0 0 0 0 %d\n"
_BODY = f"%d {_HEADER}\n{JOINTS}\n{_JOINT * JOINTS}"
_OPEN, _NOT_TRACKED = 2, 1  # states of a hand
_HANDS = tuple(KINECT_V2.joints.index(f"{side} hand") for side in ("left", "right"))


def _lean(xyz: np.ndarray) -> np.ndarray:
    """(P, T, 2): the header's lean to the side and to the camera, -1…1 for 45 degrees."""
    trunk = xyz[:, :, KINECT_V2.centre] - xyz[:, :, ROOT]
    angles = np.arctan2(np.stack([trunk[..., 0], -trunk[..., 2]], axis=-1), trunk[..., 1:2])
    return np.clip(angles / (np.pi / 4), -1, 1)


def _numbers(xyz: np.ndarray, state: np.ndarray) -> np.ndarray:
    """(T, P, 6 + 8 V): what a frame's text holds, body after body."""
    tracked = state[..., _HANDS] == TRACKED
    hands = np.stack([tracked, np.where(tracked, _OPEN, _NOT_TRACKED)], axis=-1)
    header = np.concatenate([hands.reshape(*state.shape[:2], 4), _lean(xyz)], axis=-1)
    joints = np.concatenate(
        [xyz, DEPTH.project(xyz), COLOR.project(xyz), state[..., None]], axis=-1
    )
    bodies = np.concatenate([header, joints.reshape(*state.shape[:2], 8 * JOINTS)], axis=-1)
    return bodies.swapaxes(0, 1)


def skeleton_text(tracked: Tracked, body_ids: Sequence[int]) -> str:
    """The file's text; `body_ids` names the B bodies."""
    assert len(body_ids) == len(tracked.xyz)
    numbers = _numbers(tracked.xyz, tracked.state)
    pieces = [f"{len(tracked.listed)}\n"]
    for frame, bodies in enumerate(tracked.listed):
        pieces.append(f"{len(bodies)}\n")
        for body in bodies:
            pieces.append(_BODY % (body_ids[body], *numbers[frame, body].tolist()))
    return "".join(pieces)
