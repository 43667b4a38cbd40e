"""`body_centred`: bodies about their own centre joint, of a fixed length, shoulders aligned.

The family of LinguoLi/CrosSCLR (tools/ntu_gendata.py, feeder/preprocess_ntu.py) and of what
followed it (AimCLR and its successors). NTU's values: two persons, 50 frames.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from skelray.platform.dataset import SkeletonSample
from skelray.platform.errors import UsageError
from skelray.platform.preprocessing.bodies import Identity, choose_bodies
from skelray.platform.preprocessing.spec import Count, Preprocessed, register
from skelray.platform.preprocessing.steps import (
    align_shoulders,
    centre_each_body,
    face_forward,
    resize_linear,
)
from skelray.platform.skeleton.spec import SkeletonSpec


@register("body_centred", version=1)
def body_centred(
    sample: SkeletonSample,
    skeleton: SkeletonSpec,
    *,
    persons: Count = 2,
    frames: Count = 50,
    bodies: Identity = "position",
    centre: Literal["shoulders", "root"] = "shoulders",
    align: Literal["frame", "sequence", "none"] = "frame",
) -> Preprocessed:
    """Frames (`frames`, M, V, 3); `length` is the number of frames in which the first body is seen.

    As published the length is a count, so that with empty frames inside a recording its last
    frames are cut off and the empty ones stay as zeros. A recording without a first body becomes
    zeros with length 0. `bodies` says who is who (`choose_bodies`). `align` turns each body about
    the vertical: in every frame by itself, as published, or once per recording, which keeps the
    body's own turns.
    """
    joint = skeleton.centre if centre == "shoulders" else skeleton.root
    if joint is None or skeleton.root is None:
        raise UsageError(
            f"preprocessing body_centred needs a centre joint; {skeleton.name} has none"
        )
    if align != "none" and skeleton.dimensions != 3:
        raise UsageError(
            f"preprocessing body_centred turns 3D joints; {skeleton.name} has "
            f"{skeleton.dimensions} dimensions: set align=none"
        )
    recorded = choose_bodies(sample, persons, bodies).fill(sample.xyz)
    length = int(np.count_nonzero(np.abs(recorded[:, 0, skeleton.root]).sum(axis=-1)))
    resized = resize_linear(centre_each_body(recorded, joint)[:length], frames)
    present = np.any(resized != 0, axis=(2, 3))
    if align != "none":
        turn = align_shoulders if align == "frame" else face_forward
        resized = turn(resized, *skeleton.shoulders)
    return Preprocessed(frames=resized, present=present, length=length)
