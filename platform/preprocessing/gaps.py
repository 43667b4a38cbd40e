"""Frames in which a body is missing. T frames, M persons, V joints, C coordinates."""

from __future__ import annotations

import numpy as np


def seen(bodies: np.ndarray) -> np.ndarray:
    """(…, V, C) -> (…) bool: False where all numbers of a body sum to exactly 0.

    The test of all the published converters for a body that is not there.
    """
    there: np.ndarray = bodies.sum(axis=(-2, -1)) != 0
    return there


def first_frame(there: np.ndarray) -> int:
    """The first frame that is True in (T,); 0 where none is."""
    return int(np.argmax(there))


def end_frame(there: np.ndarray) -> int:
    """One past the last frame that is True in (T,); 0 where none is."""
    return int(np.flatnonzero(there)[-1]) + 1 if there.any() else 0


def drop_empty_frames(frames: np.ndarray) -> np.ndarray:
    """The frames (T, M, V, C) in which anybody is seen; one empty frame where nobody ever is."""
    kept = frames[np.any(seen(frames), axis=1)]
    return kept if len(kept) else np.zeros_like(frames[:1])


def close_gaps(frames: np.ndarray, *, repeat: bool) -> tuple[np.ndarray, list[int]]:
    """Moves each late body to the front; returns frames (T, M, V, C) and each body's length L.

    A body missing in the first frame loses all its empty frames, each body by itself, so that two
    people who enter at different times lose their common time. A body that is there in the first
    frame keeps its gaps. L counts up to the last frame with the body. From there on it is
    repeated, frame t being frame t mod L, or zero
    (fmthoker/skeleton-contrast, data_gen/preprocess.py; limaosen0/AS-GCN, feeder/tools.py).
    """
    closed = np.zeros_like(frames)
    lengths = []
    for person, there in enumerate(seen(frames).T):
        source = np.arange(end_frame(there)) if there[0] else np.flatnonzero(there)
        lengths.append(len(source))
        if repeat and len(source):
            source = source[np.arange(len(frames)) % len(source)]
        closed[: len(source), person] = frames[source, person]
    return closed, lengths
