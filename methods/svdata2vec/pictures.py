"""Clips and the joints in them, from a batch to what the networks see.

Source: the pipelines in config/*/pretrain_svdata2vec.yaml of zoranadozdor/SVdata2vec. Shapes: N
clips, T frames, M persons, V joints.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from skelray.methods.svdata2vec.config import SVData2vecConfig
from skelray.platform.clips.joints import joints_in_clip
from skelray.platform.clips.transforms import Clip, crop, flip, random_box
from skelray.platform.method import Batch, Draws, Ragged
from skelray.platform.skeleton.spec import SkeletonSpec

FIELD = "pose"  # of the joints in pixels
PERSONS = 2  # of a recording, in its annotation's order; further ones are left out


def read(batch: Batch, *, joints: bool) -> Clip:
    """The batch's clips, with the joints in them where they are asked for."""
    assert batch.clip is not None
    return Clip(frames=batch.clip, joints=joints_in_clip(batch, FIELD) if joints else None)


def augmented(
    clip: Clip, batch: Batch, draws: Draws, config: SVData2vecConfig, skeleton: SkeletonSpec
) -> Clip:
    """A random part of the pictures, resized, and mirrored or not; the same for a clip's frames."""
    box = random_box(draws, clip.size, area=config.crop_area)
    clip = crop(clip, box, config.size, move_missing=config.move_missing)
    if clip.joints is not None:
        there = recorded(batch.skeletons[FIELD])[:, :, None, None, None]
        clip = replace(clip, joints=torch.where(there, clip.joints, 0))
    return flip(clip, draws.uniform("flip") < config.flip, skeleton.left_right)


def recorded(poses: Ragged) -> Tensor:
    """(N, M) bool: the persons that are in a frame of their recording."""
    seen = poses.present.long().cumsum(dim=0)
    seen = torch.cat([torch.zeros_like(seen[:1]), seen])
    return seen[poses.offsets].diff(dim=0) > 0
