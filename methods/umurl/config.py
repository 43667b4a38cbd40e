"""The settings of UmURL; the defaults are the published recipe of NTU RGB+D 60, cross-subject.

Source: Sun et al., ACM Multimedia 2023; script_pretrain.sh, pretrain.py and umurl.py of
HuiGuanLab/UmURL.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from skelray.platform.method import MethodConfig


class UmURLConfig(MethodConfig):
    """Views, network, loss, optimiser."""

    frames: int = Field(default=64, gt=1)  # of a clip, and the least that a crop keeps
    crop: float = Field(default=0.1, gt=0, le=1)  # the smallest share of a recording in a crop
    corrupted: float = Field(default=0.6, ge=0, le=1)  # share of the joints, where any are
    dim: int = Field(default=1024, gt=0)  # of a token; features have twice as many
    depth: int = Field(default=1, gt=0)
    heads: int = Field(default=1, gt=0)
    projection_dim: int = Field(default=4096, gt=0)
    # baseline: two views of all streams fused, one projector (the paper's method figure, a)
    objective: Literal["umurl", "baseline"] = "umurl"
    consistency: float = Field(default=5.0, ge=0)  # the weights of the loss
    variance: float = Field(default=5.0, ge=0)
    covariance: float = Field(default=1.0, ge=0)
    # under autocast, projections sent and multiplied as they are; the original's loss is so
    half_precision_loss: bool = False
    epochs: int = Field(default=451, gt=0)
    batch: int = Field(default=512, gt=1)
    # pad, as published: an epoch's last batch is smaller
    last: Literal["drop", "pad"] = "pad"
    lr: float = Field(default=5e-4, gt=0)
    weight_decay: float = Field(default=1e-5, ge=0)  # added to the gradient, of all parameters
    milestones: tuple[float, ...] = (351,)  # epochs from which the rate is a tenth; below 1: share
    precision: Literal["float32", "bf16", "fp16"] = "fp16"

    @model_validator(mode="after")
    def _consistent(self) -> UmURLConfig:
        if self.dim % self.heads:
            raise ValueError(f"{self.heads} heads do not share a width of {self.dim}")
        if self.dim % 2:
            raise ValueError(f"dim {self.dim} is odd: positions are pairs of sine and cosine")
        return self


# for sets of about a thousand recordings on two cores: what counts there is the number of steps,
# hence small batches
SMALL: dict[str, Any] = {
    "frames": 32,
    "dim": 128,
    "projection_dim": 512,
    "epochs": 40,
    "batch": 32,
    "last": "drop",
    "lr": 2e-3,
    "milestones": (0.8,),
    "precision": "float32",
}
