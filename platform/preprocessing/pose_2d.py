"""`pose_2d`: poses as a pose estimator's files hold them, in pixels, nothing changed.

The family of zoranadozdor/SVdata2vec (feeder/feeder.py) and of pyskl and mmaction2 annotations.
"""

from __future__ import annotations

import numpy as np

from skelray.platform.dataset import SkeletonSample
from skelray.platform.errors import UsageError
from skelray.platform.preprocessing.bodies import choose_bodies
from skelray.platform.preprocessing.spec import Count, Preprocessed, register
from skelray.platform.skeleton.spec import SkeletonSpec


@register("pose_2d", version=1)
def pose_2d(sample: SkeletonSample, skeleton: SkeletonSpec, *, persons: Count = 2) -> Preprocessed:
    """All frames (T, M, V, 2), each person in the annotation's place; absent ones are zeros.

    Persons after the first `persons` are left out. `length` is T; `score` (T, M, V) is there where
    the recording has it. Pixels are those of the picture that the poses were found in, of the
    scalars `height` and `width` (0 where unknown).
    """
    if skeleton.dimensions != 2:
        raise UsageError(
            f"preprocessing pose_2d takes poses in pixels; {skeleton.name} has "
            f"{skeleton.dimensions} dimensions"
        )
    slots = choose_bodies(sample, persons, "number")
    frames = slots.fill(sample.xyz)
    return Preprocessed(
        frames=frames,
        present=np.any(frames != 0, axis=(2, 3)),
        length=len(frames),
        score=None if sample.score is None else slots.fill(sample.score),
        scalars={"height": float(sample.height or 0), "width": float(sample.width or 0)},
    )
