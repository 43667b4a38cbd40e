"""Where bodies stand and how they are turned: frames (T, M, V, C), NumPy, no state.

T frames, M persons, V joints, C coordinates.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from skelray.platform.errors import UsageError
from skelray.platform.skeleton.spec import SkeletonSpec


def centre_each_body(frames: np.ndarray, joint: int) -> np.ndarray:
    """Every body of every frame about its own joint; global motion and distances are lost."""
    return frames - frames[:, :, joint : joint + 1]


def centre_all(frames: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """All bodies about `origin` (T or 1, C); a joint whose coordinates sum to exactly 0 stays 0."""
    recorded = frames.sum(axis=-1, keepdims=True) != 0
    return np.where(recorded, frames - origin[:, None, None], np.float32(0))


def resize_linear(frames: np.ndarray, length: int) -> np.ndarray:
    """(T, …) -> (length, …) float32: linear, half-pixel centres, edges clamped, no anti-aliasing.

    The image resize of OpenCV along time; positions and weights in float64 (agrees to 5e-7). No
    frames at all give zeros.
    """
    count = len(frames)
    if count == 0:
        return np.zeros((length, *frames.shape[1:]), dtype=np.float32)
    position = (np.arange(length) + 0.5) * count / length - 0.5
    before = np.floor(position).astype(np.int64)
    weight = (position - before).reshape(-1, *[1] * (frames.ndim - 1))
    left = frames[np.clip(before, 0, count - 1)].astype(np.float64)
    right = frames[np.clip(before + 1, 0, count - 1)].astype(np.float64)
    return ((1.0 - weight) * left + weight * right).astype(np.float32)


def align_shoulders(frames: np.ndarray, left: int, right: int) -> np.ndarray:
    """Turns each body of each frame about the vertical (y) so that its shoulder line lies along +x.

    As published, the angle's sign is one per body and sequence (that of the summed depth
    difference) and its size is taken per frame (LinguoLi/CrosSCLR, feeder/NTUDatasets.py): a body
    that turns around is turned the wrong way in some frames.
    """
    exact = frames.astype(np.float64)
    line = exact[:, :, right] - exact[:, :, left]  # (T, M, C)
    across, depth = line[..., 0], line[..., 2]
    angle = np.arccos(across / (np.hypot(across, depth) + 1e-4))  # (T, M)
    angle = np.where(depth.sum(axis=0) >= 0, -angle, angle)[..., None]
    return _about_vertical(exact, angle)


def face_forward(frames: np.ndarray, left: int, right: int) -> np.ndarray:
    """Turns each body about the vertical (y) once per sequence: mean shoulder line to +x.

    Unlike `align_shoulders` it keeps how a body turns; frames without the body do not count.
    """
    exact = frames.astype(np.float64)
    line = (exact[:, :, right] - exact[:, :, left]).sum(axis=0)  # (M, C)
    angle = -np.arctan2(line[:, 2], line[:, 0])[None, :, None]
    return _about_vertical(exact, angle)


@cache
def lower_spine(skeleton: SkeletonSpec) -> tuple[int, int]:
    """The lower end of the spine and the joint next to it (Kinect: base of spine, mid spine).

    UsageError where the skeleton has no spine.
    """
    if skeleton.spine is None:
        raise UsageError(
            f"this preprocessing centres on the middle of the spine; {skeleton.name} has no spine"
        )
    base, top = skeleton.spine
    towards_top = {top: top}
    ring = [top]
    for joint in ring:  # grows while it is walked: breadth first, away from the top
        for v, w in (*skeleton.edges, *((w, v) for v, w in skeleton.edges)):
            if v == joint and w not in towards_top:
                towards_top[w] = v
                ring.append(w)
    return base, towards_top[base]


def turn_onto(frames: np.ndarray, direction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Turns everything by the one rotation that brings `direction` (3,) onto the axis `target`."""
    turned = frames.astype(np.float64) @ rotation_between(direction, target).T
    return turned.astype(np.float32)


def rotation_between(direction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The rotation (3, 3) float64 about their common normal that brings `direction` onto `target`.

    The identity where `direction` is shorter than 1e-6 or (anti)parallel to `target`, which has
    length 1. The angle is that of the direction in its own precision, as published
    (fmthoker/skeleton-contrast, data_gen/rotation.py): in float32, small angles are exact to
    2e-4 rad.
    """
    normal = np.cross(direction.astype(np.float64), target)
    if np.abs(direction).sum() < 1e-6 or np.abs(normal).sum() < 1e-6:
        return np.eye(3)
    unit = direction / np.linalg.norm(direction)
    angle = np.arccos(np.clip(np.dot(unit, target), -1.0, 1.0))
    x, y, z = normal / np.linalg.norm(normal)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    rotation: np.ndarray = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return rotation


def _about_vertical(frames: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Rotates float64 frames (T, M, V, 3) by angles in radians that broadcast to (T, M, V)."""
    x, y, z = frames[..., 0], frames[..., 1], frames[..., 2]
    cosine, sine = np.cos(angle), np.sin(angle)
    turned = np.stack([cosine * x - sine * z, y, sine * x + cosine * z], axis=-1)
    return turned.astype(np.float32)
