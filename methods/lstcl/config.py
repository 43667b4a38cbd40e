"""The settings of LSTCL; the defaults are the method completed, the preset `as_coded` its code.

Source: AnshulRustogi/Long-Term-Spatio-Temporal-Framework, configuration files and constants.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from skelray.platform.method import MethodConfig

SEGMENTS = 5  # of a clip, whose order is guessed
LINK_TYPES = 3  # none, and two kinds of action links


class LSTCLConfig(MethodConfig):
    """Data, networks, objectives and the training of all phases."""

    frames: int = Field(default=290, gt=0)  # that the encoder sees
    future: int = Field(default=10, gt=0)  # that are predicted
    clip_frames: int = Field(default=50, ge=2 * SEGMENTS)  # from which links are inferred
    # true_end: of a recording's own end; padded, as coded: of the recording begun again
    target: Literal["true_end", "padded"] = "true_end"
    mask_empty: bool = True  # random_move leaves absent persons at the origin
    channels: int = Field(default=64, gt=0)  # of the first blocks; features have four times as many
    max_hop: int = Field(default=4, gt=0)  # of structural links
    share_twice: bool = True  # the second block runs twice; False for AS-GCN's own weights
    link_hidden: int = Field(default=128, gt=0)
    video_width: float = Field(default=1.0, gt=0)  # factor on the video part's projections
    dropout: float = Field(default=1.0, ge=0, le=1)  # factor on the rates, from 0.25 to 0.75
    offset_dropout: float = Field(default=0.0, ge=0, lt=1)  # of predicted offsets; coded: 0.5
    # of the offsets when training begins, in metres; coded: 1, forty times a usual motion
    offset_scale: float = Field(default=0.05, gt=0)
    # interleaved, as coded: two thirds of the offsets start from another coordinate
    residual_layout: Literal["per_coordinate", "interleaved"] = "per_coordinate"
    # published: all weights N(0, 0.02²), which makes the first steps large before BatchNorm
    initialisation: Literal["published", "torch"] = "published"
    losses: Literal["complete", "as_coded"] = "complete"
    mode: Literal["self_supervised", "joint"] = "self_supervised"  # joint: with labels
    w_pred: float = Field(default=0.45, ge=0)
    w_con: float = Field(default=0.10, ge=0)
    w_class: float = Field(default=0.10, ge=0)  # in mode joint
    space: Literal["motion", "pose"] = "motion"  # what is contrasted: pose - last pose, or pose
    positives: Literal["nearest", "labels"] = "nearest"  # besides each sample's own key
    neighbours: int = Field(default=1, ge=0)  # of nearest; 0: the own key alone
    neighbours_from: float = Field(default=10, ge=0)  # epoch; below 1: share of the epochs
    temperature: float = Field(default=0.07, gt=0)
    momentum: float = Field(default=0.999, ge=0, le=1)  # of key networks
    average: float = Field(default=0.99, ge=0, lt=1)  # decay of the means of motion and of keys
    key_noise: float = Field(default=0.1, ge=0)  # variance
    queue: int = Field(default=32768, gt=0)
    video_queue: int = Field(default=33600, gt=0)
    # inter-frame, intra-frame, segments, order
    video_weights: tuple[float, float, float, float] = (10.0, 100.0, 10.0, 50.0)
    batch: int = Field(default=32, gt=0)
    link_epochs: tuple[int, int] = (10, 10)  # of aim_partial, aim_full
    link_lr: float = Field(default=5e-4, gt=0)
    # of the encoder; of three numbers, as coded, the second trains on the hold-out alone
    encoder_epochs: tuple[int, ...] = (80,)
    lr: float = Field(default=0.1, gt=0)
    # epochs of all encoder phases from which the rate is a tenth; below 1: share of them
    milestones: tuple[float, ...] = (0.5, 0.75)
    sgd_momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=1e-4, ge=0)
    decay_all: bool = False  # as coded, normalisations and edge masks too
    clip_norm: float | None = 5.0
    precision: Literal["float32", "bf16", "fp16"] = "float32"  # of the encoder's phases

    @property
    def complete(self) -> bool:
        """Whether the losses are the sound ones."""
        return self.losses == "complete"

    @property
    def window(self) -> int:
        """Frames of a padded recording: those seen and those predicted."""
        return self.frames + self.future

    @model_validator(mode="after")
    def _consistent(self) -> LSTCLConfig:
        if self.frames < self.clip_frames:
            raise ValueError(f"{self.frames} frames hold no clip of {self.clip_frames}")
        if len(self.encoder_epochs) not in (1, 3) or min(self.encoder_epochs) < 1:
            raise ValueError(
                f"encoder_epochs={list(self.encoder_epochs)}: give one number, or three (training "
                "part, hold-out, training part)"
            )
        if self.positives == "labels" and self.mode != "joint":
            raise ValueError("positives=labels needs mode=joint: the other reads no labels")
        return self


# what the published code does; w_class is what is left of 1
AS_CODED: dict[str, Any] = {
    "target": "padded",
    "mask_empty": False,
    "offset_dropout": 0.5,
    "offset_scale": 1.0,
    "residual_layout": "interleaved",
    "losses": "as_coded",
    "mode": "joint",
    "w_pred": 0.45,
    "w_con": 0.45,
    "w_class": 0.10,
    "batch": 16,
    "encoder_epochs": (40, 8, 82),
    "milestones": (30, 50, 70),  # 50, 70, 90 with the 20 epochs of the links before
    "decay_all": True,
    "clip_norm": None,
}

# for sets of about a thousand recordings on two cores: queues at most half an epoch, momentum
# averaging over about five
SMALL: dict[str, Any] = {
    "frames": 64,
    "future": 8,
    "clip_frames": 20,
    "channels": 12,
    "max_hop": 2,
    "link_hidden": 24,
    "video_width": 0.125,
    "dropout": 0.2,
    "initialisation": "torch",
    "momentum": 0.98,
    "temperature": 0.1,
    "queue": 256,
    "video_queue": 256,
    "neighbours_from": 0.2,
    "link_epochs": (3, 2),
    "encoder_epochs": (12,),
    "lr": 0.05,
}
