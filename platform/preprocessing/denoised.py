"""`denoised`: bodies followed by id, ghosts left out, at most two actors, about the first one.

The preprocessing of microsoft/SGN (data/ntu: get_raw_skes_data.py, get_raw_denoised_data.py,
seq_transformation.py), which maoyunyao/MAMP and many others use.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from skelray.platform.dataset import SkeletonSample
from skelray.platform.preprocessing.bodies import identities
from skelray.platform.preprocessing.gaps import drop_empty_frames, first_frame, seen
from skelray.platform.preprocessing.spec import Preprocessed, register
from skelray.platform.preprocessing.steps import lower_spine
from skelray.platform.skeleton.spec import SkeletonSpec

_SHORTEST = 12  # frames a body must be seen in
_WIDEST = 0.8  # of a body's height: what spreads further sideways is no standing person
_MOST_WIDE = 0.69754  # share of such frames from which on a body is left out


@dataclass(frozen=True)
class _Body:
    """What was recorded under one id: joints (n, V, C) and their frames (n,), ascending."""

    joints: np.ndarray
    at: np.ndarray
    motion: float


@register("denoised", version=1)
def denoised(
    sample: SkeletonSample,
    skeleton: SkeletonSpec,
    *,
    gaps: Literal["close", "keep"] = "close",
    alone: Literal["zeros", "copy"] = "zeros",
) -> Preprocessed:
    """Frames (T, 2, V, C) in which somebody was seen, about the first actor's mid spine.

    The origin is one for the recording: the first actor's mid spine in its first frame. Nothing is
    turned or scaled. Frames without any body are left out.

    Args:
        sample: the recording; without body ids the place in a frame's list is the id.
        skeleton: its joints; they need a spine.
        gaps: close: as published, a body that comes back goes on where it left, so that two
            actors may drift apart in time. keep: bodies stay in the frames they were seen in.
        alone: what the second actor of a recording with one is: zeros (NTU-60 as published) or a
            copy of the first (NTU-120 as published); `present` is False either way.

    Returns:
        `length` is the number of frames whose numbers do not sum to exactly 0: all of them, in
        practice. A recording of nothing but zeros becomes frames of zeros with length 0.
    """
    bodies = _bodies(sample, gaps)
    kept = _plausible(bodies) if len(bodies) > 1 else bodies
    recorded = int(np.count_nonzero(sample.frame_bodies))
    actors = _actors(kept, recorded, sample.xyz.shape[1:])
    if len(bodies) > 1:
        actors = drop_empty_frames(actors)
    present = seen(actors)
    first = first_frame(np.any(actors[:, 0] != 0, axis=(1, 2)))
    frames = actors - actors[first, 0, lower_spine(skeleton)[1]]
    if len(kept) > 1:
        frames[~present] = 0
    else:
        frames[:, 1] = frames[:, 0] if alone == "copy" else 0
    length = int(np.count_nonzero(frames.sum(axis=(1, 2, 3))))
    return Preprocessed(frames=frames, present=present, length=length)


def _bodies(sample: SkeletonSample, gaps: str) -> list[_Body]:
    """The recording's bodies in the order of appearance, in frames counted without empty ones.

    Should an id stand twice in a frame, the first one counts.
    """
    bodies_in = np.asarray(sample.frame_bodies, dtype=np.int64)
    frame = np.repeat(np.cumsum(bodies_in > 0) - 1, bodies_in)
    who = identities(sample)
    order = np.argsort(who, kind="stable")
    bodies = []
    for rows in np.split(order, np.flatnonzero(np.diff(who[order])) + 1):
        at, first = np.unique(frame[rows], return_index=True)
        if gaps == "close":
            at = at[0] + np.arange(len(at))
        joints = sample.xyz[rows[first]]
        bodies.append(_Body(joints, at, _motion(joints)))
    return bodies


def _motion(joints: np.ndarray) -> float:
    """Variance over all joints and frames of (n, V, C), summed over the coordinates."""
    return float(joints.reshape(-1, joints.shape[-1]).astype(np.float64).var(axis=0).sum())


def _plausible(bodies: Sequence[_Body]) -> list[_Body]:
    """The bodies that last and do not lie flat, the most moving first; at least one is kept.

    Where none lasts, the longest is kept (the original fails).
    """
    lasting = [body for body in bodies if len(body.at) >= _SHORTEST]
    lasting = lasting or [max(bodies, key=lambda body: len(body.at))]
    left = len(lasting)
    kept = []
    for body in lasting:
        wide = _wide(body.joints)
        if left == 1 or not wide.any():
            kept.append(body)
        elif wide.mean() >= _MOST_WIDE:
            left -= 1
        else:
            kept.append(replace(body, motion=min(body.motion, _motion(body.joints[~wide]))))
    return sorted(kept, key=lambda body: body.motion, reverse=True)


def _wide(joints: np.ndarray) -> np.ndarray:
    """(n,) bool: the joints (n, V, C) spread further in x than `_WIDEST` of their spread in y."""
    spread = np.ptp(joints[..., :2], axis=1).astype(np.float64)
    wide: np.ndarray = spread[:, 0] > _WIDEST * spread[:, 1]
    return wide


def _actors(bodies: Sequence[_Body], frames: int, shape: tuple[int, ...]) -> np.ndarray:
    """Two actors (T, 2, V, C): each body in order goes to the first one whose span it is outside.

    It is left out where it lies in both spans. Spans may share one frame, which the later body
    overwrites. As published, the second actor's span begins at frame 0.
    """
    actors = np.zeros((frames, 2, *shape), dtype=np.float32)
    spans = [(math.inf, -math.inf), (0.0, 0.0)]
    for body in bodies:
        for actor, (start, end) in enumerate(spans):
            if min(end, body.at[-1]) - max(start, body.at[0]) <= 0:
                actors[body.at, actor] = body.joints
                spans[actor] = (min(start, body.at[0]), max(end, body.at[-1]))
                break
    return actors
