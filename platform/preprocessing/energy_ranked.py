"""`energy_ranked`: the most energetic bodies, about the first one's spine, turned once.

The family of fmthoker/skeleton-contrast (data_gen/ntu_gendata.py, preprocess.py, rotation.py; from
lshiwjx/2s-AGCN), of HuiGuanLab/UmURL and of AnshulRustogi/Long-Term-Spatio-Temporal-Framework
(LSTCL; from limaosen0/AS-GCN). docs/preprocessing.md says which settings are whose.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from skelray.platform.dataset import SkeletonSample
from skelray.platform.errors import UsageError
from skelray.platform.preprocessing.bodies import Identity, choose_bodies, most_energetic
from skelray.platform.preprocessing.gaps import (
    close_gaps,
    drop_empty_frames,
    end_frame,
    first_frame,
    seen,
)
from skelray.platform.preprocessing.spec import Count, Preprocessed, register
from skelray.platform.preprocessing.steps import centre_all, lower_spine, turn_onto
from skelray.platform.skeleton.spec import SkeletonSpec

_CANDIDATES = 4  # slots among which the most energetic are sought, as published

Moment = Literal["first_frame", "first_seen"]


@register("energy_ranked", version=1)
def energy_ranked(
    sample: SkeletonSample,
    skeleton: SkeletonSpec,
    *,
    persons: Count = 2,
    bodies: Identity = "position",
    gaps: Literal["repeat", "close", "drop"] = "repeat",
    centre: Literal["frame", "first_seen"] = "frame",
    spine: bool = True,
    shoulders: bool = True,
    turn: Moment = "first_frame",
    max_frames: Count | None = 300,
) -> Preprocessed:
    """Frames (T, M, V, C), person 0 the most energetic; T is the recording's, cut.

    Args:
        sample: the recording.
        skeleton: its joints; they need a spine.
        persons: how many of the four candidates are kept.
        bodies: what a candidate is (`choose_bodies`).
        gaps: repeat: late bodies are moved to the front and every body is repeated to the end
            (`close_gaps`), before centring. close: moved to the front after turning and not
            repeated. drop: frames with nobody are left out, people keep their common time.
        centre: origin is the first person's mid spine, of every frame or of the first with it.
            In a frame without the first person, "frame" leaves the others where they are.
        spine: turn all so that the first person's lower spine lies along +z.
        shoulders: then turn all so that its right shoulder lies in +x of its left one.
        turn: the frame of the first person that decides these turns. Where it is not in that
            frame nothing is turned.
        max_frames: later frames are cut off (the originals' arrays hold 300); None keeps all.

    Returns:
        `length` is T with "repeat" and "drop", and with "close" the frames from the first to the
        last with anybody. Scalars: `begin` and `end` of these frames in the recording and, but
        for "drop", `length_0`, `length_1` …: each person's frames up to its last one, once moved
        to the front and before repetition.
    """
    if (spine or shoulders) and skeleton.dimensions != 3:
        raise UsageError(
            f"preprocessing energy_ranked turns 3D joints; {skeleton.name} has "
            f"{skeleton.dimensions} dimensions: set spine=false shoulders=false"
        )
    candidates = choose_bodies(sample, max(persons, _CANDIDATES), bodies).fill(sample.xyz)
    frames = most_energetic(candidates, persons)[:max_frames]
    anybody = np.any(seen(frames), axis=1)
    begin, end = first_frame(anybody), end_frame(anybody)
    lengths: list[int] = []
    if gaps == "drop":
        frames = drop_empty_frames(frames)
    if gaps == "repeat":
        frames, lengths = close_gaps(frames, repeat=True)
    frames = _centred(frames, skeleton, centre)
    frames = _turned(frames, skeleton, turn, spine=spine, shoulders=shoulders)
    if gaps == "close":
        frames, lengths = close_gaps(frames, repeat=False)
    return Preprocessed(
        frames=frames,
        present=np.any(frames != 0, axis=(2, 3)),
        length=end - begin if gaps == "close" else len(frames),
        scalars={"begin": begin, "end": end} | {f"length_{m}": n for m, n in enumerate(lengths)},
    )


def _centred(frames: np.ndarray, skeleton: SkeletonSpec, centre: str) -> np.ndarray:
    origin = frames[:, 0, lower_spine(skeleton)[1]]  # (T, C)
    if centre == "first_seen":
        origin = origin[None, first_frame(seen(frames[:, 0]))]
    return centre_all(frames, origin)


def _turned(
    frames: np.ndarray, skeleton: SkeletonSpec, turn: Moment, *, spine: bool, shoulders: bool
) -> np.ndarray:
    moment = first_frame(seen(frames[:, 0])) if turn == "first_seen" else 0
    if spine:
        base, above = lower_spine(skeleton)
        direction = frames[moment, 0, above] - frames[moment, 0, base]
        frames = turn_onto(frames, direction, np.array([0.0, 0.0, 1.0]))
    if shoulders:
        left, right = skeleton.shoulders
        direction = frames[moment, 0, right] - frames[moment, 0, left]
        frames = turn_onto(frames, direction, np.array([1.0, 0.0, 0.0]))
    return frames
