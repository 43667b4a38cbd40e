"""The settings of SV-data2vec; the defaults are the published recipe.

Source: Doždor, Hrkać, Kalafatić, WACV 2025; config/*/pretrain_svdata2vec.yaml and the constants in
the code of zoranadozdor/SVdata2vec.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from skelray.methods.svdata2vec.masking import kept_of
from skelray.platform.method import MethodConfig


class SVData2vecConfig(MethodConfig):
    """Pictures and augmentation, network, masks, teacher, optimiser."""

    frames: int = Field(default=40, gt=0)  # tokens of either modality
    size: int = Field(default=224, gt=0)  # pixels of a frame's side
    resized: int = Field(default=256, gt=0)  # in training, before the random crop
    crop_area: tuple[float, float] = (0.56, 1.0)  # share of the picture that the crop keeps
    flip: float = Field(default=0.5, ge=0, le=1)
    # as published, the random crop moves missing joints away from 0 too (but not absent persons)
    move_missing: bool = True
    dim: int = Field(default=256, gt=0)
    depth: int = Field(default=8, gt=0)
    decoder_depth: int = Field(default=3, gt=0)
    heads: int = Field(default=8, gt=0)
    mlp_ratio: float = Field(default=4.0, gt=0)
    channels: int = Field(default=64, gt=0)  # of the video encoder's stem
    video_mask: float = Field(default=0.66, ge=0, lt=1)  # share of the frames' pictures
    skeleton_mask: float = Field(default=0.75, ge=0, lt=1)  # of the kept frames' skeletons
    # kept: the video encoder sees no masked frame, which is cheaper; its stem then spans the gaps,
    # and its BatchNorm measures fewer frames
    encode_frames: Literal["all", "kept"] = "all"
    checkpoint_activations: bool = False  # of the video encoder: less memory, more time
    ema_start: float = Field(default=0.999, ge=0, le=1)
    ema_end: float = Field(default=0.99999, ge=0, le=1)
    ema_steps: int = Field(default=50_000, gt=0)  # updates from start to end
    # epoch, as published: the updates are counted anew in each, so that the end is never reached
    ema_counter: Literal["epoch", "run"] = "epoch"
    # independent, as published: the teacher has torch's initialisation, the student another
    teacher_init: Literal["independent", "copy"] = "independent"
    epochs: int = Field(default=400, gt=0)
    batch: int = Field(default=128, gt=1)
    lr: float = Field(default=1e-3, gt=0)
    min_lr: float = Field(default=5e-4, ge=0)
    warmup_epochs: float = Field(default=20, ge=0)
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = Field(default=0.05, ge=0)
    precision: Literal["float32", "bf16", "fp16"] = "float32"

    @property
    def kept_frames(self) -> int:
        """Frames whose picture the student sees."""
        return kept_of(self.frames, self.video_mask)

    @property
    def kept_skeletons(self) -> int:
        """Frames of these whose skeleton it sees."""
        return kept_of(self.kept_frames, self.skeleton_mask)

    @model_validator(mode="after")
    def _consistent(self) -> SVData2vecConfig:
        if not 0 < self.kept_skeletons < self.frames:
            raise ValueError(
                f"of {self.frames} frames video_mask and skeleton_mask leave {self.kept_frames} "
                f"pictures and {self.kept_skeletons} skeletons: the student must see a skeleton "
                "and one must be left to predict"
            )
        if self.dim % self.heads:
            raise ValueError(f"{self.heads} heads do not share a width of {self.dim}")
        return self


SOUND: dict[str, Any] = {"ema_counter": "run", "teacher_init": "copy"}

# for sets of some hundred recordings on two cores. The targets have variance 1, and it takes some
# hundred steps until the loss falls below that: hence small batches
SMALL: dict[str, Any] = {
    **SOUND,
    "frames": 16,
    "size": 48,
    "resized": 56,
    "dim": 96,
    "depth": 4,
    "decoder_depth": 2,
    "heads": 4,
    "channels": 8,
    "ema_start": 0.99,
    "ema_end": 0.999,
    "ema_steps": 1000,
    "epochs": 60,
    "batch": 16,
    "warmup_epochs": 6,
}
