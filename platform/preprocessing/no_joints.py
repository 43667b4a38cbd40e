"""`no_joints`: a recording without its joints, for methods that read its clip alone."""

from __future__ import annotations

import numpy as np

from skelray.platform.dataset import SkeletonSample
from skelray.platform.preprocessing.spec import Preprocessed, register
from skelray.platform.skeleton.spec import SkeletonSpec

NO_JOINTS = "no_joints"


@register(NO_JOINTS, version=1)
def no_joints(sample: SkeletonSample, skeleton: SkeletonSpec) -> Preprocessed:
    """One empty frame (1, 1, 1, 1), so that labels and ids are cached and no joint is.

    `length` is the recording's number of frames.
    """
    return Preprocessed(
        frames=np.zeros((1, 1, 1, 1), dtype=np.float32),
        present=np.zeros((1, 1), dtype=bool),
        length=sample.frames,
    )
