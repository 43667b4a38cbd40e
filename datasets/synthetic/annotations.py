"""What a pose estimator would find in the colour videos, as pyskl and mmaction2 exchange it.

The format: kennymckormick/pyskl, tools/data/README.md; `skelray.datasets.pyskl` reads it.
P persons, T frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from skelray.datasets.synthetic.camera import COLOR, COLOR_SIZE
from skelray.datasets.synthetic.curves import smooth_noise
from skelray.datasets.synthetic.keypoints import keypoints, occluded
from skelray.datasets.synthetic.recordings import DETECTION, Recording, generator, true_bodies
from skelray.platform.dataset import Protocol

# Pixels of the 1920 x 1080 picture: standard deviations of a key point in sight and of one that
# its own body hides; and what is taken off the score for each pixel.
SEEN_ERROR, HIDDEN_ERROR = 2.0, 8.0
_SEEN_SCORE, _HIDDEN_SCORE, _PER_PIXEL = 0.93, 0.55, 0.015


def detect(bodies: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Key points (P, T, 17, 2) in pixels of the colour picture, and scores (P, T, 17) in 0…1.

    `bodies` (P, T, 25, 3) are true positions in the camera's axes. Errors jitter and wander, as
    the tracker's do; nobody is lost.
    """
    hidden = occluded(bodies)
    persons, frames, points = hidden.shape
    jitter = rng.normal(size=(persons, frames, points, 2))
    wander = smooth_noise(rng, frames, (persons, points, 2), (0.3, 2.0)).swapaxes(0, 1)
    error = np.where(hidden, HIDDEN_ERROR, SEEN_ERROR)[..., None] * (0.6 * jitter + 0.8 * wander)
    score = np.where(hidden, _HIDDEN_SCORE, _SEEN_SCORE) + rng.normal(0, 0.03, size=hidden.shape)
    score -= _PER_PIXEL * np.linalg.norm(error, axis=-1)
    return COLOR.project(keypoints(bodies)) + error, np.clip(score, 0.05, 0.99)


def annotation_of(recording: Recording, seed: int) -> dict[str, Any]:
    """A recording's entry; float16 as in the published files, so whole pixels from 1024 on."""
    keypoint, score = detect(true_bodies(recording, seed), generator(seed, DETECTION, recording))
    picture = COLOR_SIZE[::-1]
    return {
        "frame_dir": recording.name,
        "label": recording.action - 1,
        "img_shape": picture,
        "original_shape": picture,
        "total_frames": keypoint.shape[1],
        "keypoint": keypoint.astype(np.float16),
        "keypoint_score": score.astype(np.float16),
    }


def annotation_file(
    recordings: Sequence[Recording], seed: int, protocols: Sequence[Protocol]
) -> dict[str, Any]:
    """What the pickle holds: all entries, and `NAME_train` and `NAME_val` of each protocol."""
    annotations = [annotation_of(recording, seed) for recording in recordings]
    split: dict[str, list[str]] = {}
    for protocol in protocols:
        parts: dict[bool, list[str]] = {True: [], False: []}
        for recording, annotation in zip(recordings, annotations, strict=True):
            trains = getattr(recording, protocol.field) in protocol.train
            parts[trains].append(annotation["frame_dir"])
        split |= {f"{protocol.name}_train": parts[True], f"{protocol.name}_val": parts[False]}
    return {"split": split, "annotations": annotations}
