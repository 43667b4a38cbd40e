"""Made-up batches have what a method reads, clips among it."""

from __future__ import annotations

import torch

from skelray.datasets.nwucla.dataset import NWUCLA
from skelray.platform.clips.joints import joints_in_clip
from skelray.platform.data.source import data_spec
from skelray.platform.estimate import made_up_batch
from skelray.platform.method import ClipSpec, Inputs
from skelray.platform.preprocessing import Preprocessing
from tests.toys import ClipToy, ToyConfig


class JointsToy(ClipToy):
    """Reads a clip, and where the joints are in it."""

    def inputs(self, use: str) -> Inputs:
        pose = Preprocessing(name="pose_2d", parameters={"persons": 1})
        return Inputs(skeletons={"pose": pose}, clip=ClipSpec(frames=3, size=8, joints="pose"))


def test_made_up_clips_show_the_made_up_joints() -> None:
    method = JointsToy(ToyConfig(), data_spec(NWUCLA, 10))
    batch = made_up_batch(method, NWUCLA, "pretrain", 5)
    assert batch.clip is not None
    assert batch.clip.shape == (5, 3, 8, 8, 3)
    assert batch.clip.dtype == torch.uint8
    joints = joints_in_clip(batch, "pose")
    assert joints.shape == (5, 1, 3, 20, 2)
    assert (joints > 0).all()
    assert (joints < 8).all()
