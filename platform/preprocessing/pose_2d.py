"""`pose_2d`: poses in pixels, as a pose estimator's or a sensor's files hold them, unchanged.

The family of zoranadozdor/SVdata2vec (feeder/feeder.py) and of pyskl and mmaction2 annotations.
"""

from __future__ import annotations

import numpy as np

from skelray.platform.dataset import SkeletonSample
from skelray.platform.errors import DataError
from skelray.platform.preprocessing.bodies import choose_bodies
from skelray.platform.preprocessing.spec import Count, Preprocessed, register
from skelray.platform.skeleton.spec import SkeletonSpec


def pixels(sample: SkeletonSample, skeleton: SkeletonSpec) -> np.ndarray:
    """(B, V, 2) float32: every body's joints in the picture; 0 where a joint is not there.

    DataError where the recording has positions in space only.
    """
    found = sample.xyz if skeleton.dimensions == 2 else sample.color_xy
    if found is None:
        raise DataError(f"{sample.id}: no positions of the joints in the colour picture")
    return np.where(np.isfinite(found), found, 0).astype(np.float32)


@register("pose_2d", version=1)
def pose_2d(sample: SkeletonSample, skeleton: SkeletonSpec, *, persons: Count = 2) -> Preprocessed:
    """All frames (T, M, V, 2), each person in the annotation's place; absent ones are zeros.

    Of recordings in three dimensions: where the joints lie in the colour picture, persons by the
    tracker's id. Persons after the first `persons` are left out. `length` is T; `score` (T, M, V)
    is there where the recording has it. Pixels are those of the picture that the poses were found
    in, of the scalars `height` and `width` (0 where unknown).
    """
    slots = choose_bodies(sample, persons, "number" if skeleton.dimensions == 2 else "id")
    frames = slots.fill(pixels(sample, skeleton))
    return Preprocessed(
        frames=frames,
        present=np.any(frames != 0, axis=(2, 3)),
        length=len(frames),
        score=None if sample.score is None else slots.fill(sample.score),
        scalars={"height": float(sample.height or 0), "width": float(sample.width or 0)},
    )
