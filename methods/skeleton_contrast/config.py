"""The settings of Skeleton-Contrast; the defaults are the published recipe, for NTU RGB+D 60.

Source: fmthoker/skeleton-contrast, script_pretrain.sh, options/options_pretraining.py, moco/ and
feeder/augmentations.py.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from skelray.platform.method import MethodConfig

Representation = Literal["sequence", "graph", "image"]


class SkeletonContrastConfig(MethodConfig):
    """Input, networks, contrast, optimiser."""

    # one: its two views find each other (intra); several: each those of all others (inter)
    representations: tuple[Representation, ...] = ("sequence", "graph")
    frames: int = Field(default=64, gt=1)  # that every crop is resized to
    shortest_crop: int = Field(default=64, gt=0)  # frames of the recording
    crop: tuple[float, float] = (0.1, 1.0)  # least and largest share of the recording
    corrupted_joints: int = Field(default=15, ge=0)
    # bodies, gaps, centre and turn are those of the preprocessing energy_ranked
    bodies: Literal["position", "id"] = "position"
    gaps: Literal["repeat", "drop"] = "repeat"
    centre: Literal["frame", "first_seen"] = "frame"
    turn: Literal["first_frame", "first_seen"] = "first_frame"
    gru_hidden: int = Field(default=1024, gt=0)  # of each of a layer's two cells
    gru_layers: int = Field(default=3, gt=0)
    agcn_channels: int = Field(default=64, ge=4)
    hcn_channels: int = Field(default=64, ge=16)
    dropout: float = Field(default=0.5, ge=0, lt=1)  # of HCN's channels
    projection_dim: int = Field(default=128, gt=0)
    queue: int = Field(default=16384, gt=0)
    momentum: float = Field(default=0.999, ge=0, le=1)
    temperature: float = Field(default=0.07, gt=0)
    queued_keys: int | None = Field(default=None, gt=0)  # a step's first keys; null: all
    norm_groups: int = Field(default=1, gt=0)  # parts of the batch with statistics of their own
    epochs: int = Field(default=451, gt=0)
    batch: int = Field(default=64, gt=1)
    lr: float = Field(default=0.01, gt=0)
    sgd_momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=1e-4, ge=0)
    milestones: tuple[float, ...] = (351,)  # epochs from which the rate is a tenth; below 1: share
    precision: Literal["float32", "bf16", "fp16"] = "float32"

    @model_validator(mode="after")
    def _consistent(self) -> SkeletonContrastConfig:
        named = self.representations
        if not named or len(set(named)) < len(named):
            raise ValueError(
                f"representations {list(named)}: name one or several different ones of sequence, "
                "graph and image"
            )
        if not 0 <= self.crop[0] <= self.crop[1] <= 1:
            raise ValueError(f"crop {list(self.crop)}: two shares of a recording, 0 to 1, in order")
        if "image" in named and self.frames < 16:
            raise ValueError(f"frames {self.frames}: representation image needs 16 or more")
        return self


NTU120: dict[str, Any] = {"epochs": 351, "milestones": (251,)}

# what the published code does of a batch of 64 on the four devices that its scripts name
FOUR_DEVICES: dict[str, Any] = {"queued_keys": 16, "norm_groups": 4}

SOUND: dict[str, Any] = {
    "bodies": "id",
    "gaps": "drop",
    "centre": "first_seen",
    "turn": "first_seen",
}

# for sets of some hundred recordings on two cores: queue at most half an epoch, momentum averaging
# over about five. With batches of 32, momentum 0.98 and five times the rate all keys fell onto one
# direction within two epochs; which of the three did it is not known
SMALL: dict[str, Any] = {
    **SOUND,
    "frames": 32,
    "shortest_crop": 16,
    "crop": (0.5, 1.0),
    "gru_hidden": 128,
    "agcn_channels": 16,
    "hcn_channels": 32,
    "projection_dim": 64,
    "queue": 128,
    "momentum": 0.99,
    "temperature": 0.1,
    "epochs": 40,
    "batch": 16,
    "milestones": (0.8,),
}
