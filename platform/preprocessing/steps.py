"""Single steps of preprocessing on one sample: frames (T, M, V, C), NumPy, no state.

T frames, M persons, V joints, C coordinates.
"""

from __future__ import annotations

import numpy as np

from skelray.platform.dataset import SkeletonSample


def bodies_by_position(sample: SkeletonSample, persons: int) -> tuple[np.ndarray, np.ndarray]:
    """Person m of a frame is the m-th body of the frame's list; later bodies are left out.

    Returns frames (T, M, V, C) float32, zero where nobody is, and present (T, M) bool. No tracking:
    slots may swap between people (LinguoLi/CrosSCLR, tools/utils/ntu_read_skeleton.py).
    """
    bodies = np.asarray(sample.frame_bodies, dtype=np.int64)
    frame = np.repeat(np.arange(len(bodies)), bodies)
    position = np.arange(len(frame)) - np.repeat(np.cumsum(bodies) - bodies, bodies)
    kept = position < persons
    frames = np.zeros((len(bodies), persons, *sample.xyz.shape[1:]), dtype=np.float32)
    present = np.zeros((len(bodies), persons), dtype=bool)
    frames[frame[kept], position[kept]] = sample.xyz[kept]
    present[frame[kept], position[kept]] = True
    return frames, present


def centre_each_body(frames: np.ndarray, joint: int) -> np.ndarray:
    """Every body of every frame about its own joint; global motion and distances are lost."""
    return frames - frames[:, :, joint : joint + 1]


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


def _about_vertical(frames: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Rotates float64 frames (T, M, V, 3) by angles in radians that broadcast to (T, M, V)."""
    x, y, z = frames[..., 0], frames[..., 1], frames[..., 2]
    cosine, sine = np.cos(angle), np.sin(angle)
    turned = np.stack([cosine * x - sine * z, y, sine * x + cosine * z], axis=-1)
    return turned.astype(np.float32)
