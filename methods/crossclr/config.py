"""The settings of SkeletonCLR and CrosSCLR; the defaults are the published recipe.

Source: section 4 of the paper, and the configuration and defaults of LinguoLi/CrosSCLR.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from skelray.platform.method import MethodConfig

Stream = Literal["joint", "motion", "bone"]


class ContrastConfig(MethodConfig):
    """What every stream is trained with."""

    frames: int = Field(default=50, gt=0)
    centre: Literal["shoulders", "root"] = "shoulders"  # each body's origin
    align: Literal["frame", "sequence", "none"] = "frame"  # shoulders along x, per frame or once
    channels: int = Field(default=16, gt=0)
    feature_dim: int = Field(default=256, gt=0)
    projection_dim: int = Field(default=128, gt=0)
    dropout: float = Field(default=0.5, ge=0, lt=1)
    queue: int = Field(default=32768, gt=0)
    momentum: float = Field(default=0.999, ge=0, le=1)
    temperature: float = Field(default=0.07, gt=0)
    # published: all weights N(0, 0.02²), which makes the first steps large before BatchNorm
    initialisation: Literal["published", "torch"] = "published"
    # independent, as published: query and key encoder start from different weights
    key_init: Literal["independent", "copy"] = "independent"
    crop_ratio: int = Field(default=6, ge=0)  # padding of frames // ratio at both ends; 0: no crop
    shear: float = Field(default=0.5, ge=0)
    epochs: int = Field(default=300, gt=0)
    batch: int = Field(default=128, gt=0)
    lr: float = Field(default=0.1, gt=0)
    sgd_momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=1e-4, ge=0)
    milestones: tuple[float, ...] = (250,)  # epochs from which the rate is a tenth; below 1: share
    precision: Literal["float32", "bf16", "fp16"] = "float32"


class SkeletonCLRConfig(ContrastConfig):
    """One stream."""

    stream: Stream = "joint"


class CrosSCLRConfig(ContrastConfig):
    """Several streams, and what they tell each other."""

    streams: tuple[Stream, ...] = ("joint", "motion", "bone")
    # each stream by itself up to here, then each finds positives of the others; below 1: share
    cross_epoch: float = Field(default=150, ge=0)
    topk: int = Field(default=1, gt=0)  # neighbours in another stream that count as positives
    context: bool = True  # products of two streams' similarities as further logits
    # motion, as published: in the cross phase no other key encoder moves, an oversight presumably
    cross_key_update: Literal["motion", "all"] = "motion"
    # as published: the first stream's projector is also the end of the others'
    shared_tail: bool = True
    # per_stream, as published: the shared tail of the keys moves once for every stream
    tail_update: Literal["per_stream", "once"] = "per_stream"

    @model_validator(mode="after")
    def _consistent(self) -> CrosSCLRConfig:
        if len(self.streams) < 2 or len(set(self.streams)) < len(self.streams):
            raise ValueError(
                f"streams {list(self.streams)}: name two or three different ones "
                "(method skeletonclr has one)"
            )
        if self.cross_key_update == "motion" and "motion" not in self.streams:
            raise ValueError(
                "cross_key_update=motion without that stream would freeze all key encoders: set all"
            )
        return self


# for sets of about a thousand recordings on two cores: queue at most half an epoch, momentum
# averaging over about three; docs/results.md says what was tried
SMALL: dict[str, Any] = {
    "frames": 32,
    "centre": "root",
    "align": "sequence",
    "initialisation": "torch",
    "dropout": 0.0,
    "queue": 512,
    "momentum": 0.98,
    "temperature": 0.1,
    "key_init": "copy",
    "epochs": 40,
    "batch": 64,
    "lr": 0.05,
    "milestones": (0.8,),
}

# what the paper describes, where its code does something else
AS_DESCRIBED: dict[str, Any] = {
    "key_init": "copy",
    "cross_key_update": "all",
    "shared_tail": False,
    "tail_update": "once",
}
