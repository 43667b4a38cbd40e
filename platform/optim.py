"""Optimisers and learning-rate schedules as plain descriptions; rates are closed forms of progress.

A closed form needs no scheduler state: a resumed run computes the rate of any step from its number
alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field


class Optimiser(BaseModel):
    """What torch's optimiser is built with; `lr` is the rate at the method's global batch.

    Without `decay_vectors` no weight decay acts on tensors of fewer than two dimensions: biases,
    normalisations, slopes of PReLUs.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    lr: float = Field(gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    nesterov: bool = False
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = Field(default=0.0, ge=0)
    decay_vectors: bool = True

    def build(self, groups: Iterable[dict[str, Any]]) -> torch.optim.Optimizer:
        """Torch's optimiser over parameter groups; `lr_scale` (default 1) scales a group's rate."""
        scaled = [{"lr_scale": 1.0, **group} for group in groups]
        if not self.decay_vectors:
            scaled = [part for group in scaled for part in _by_decay(group)]
        for group in scaled:
            group["lr"] = self.lr * group["lr_scale"]
        if self.name == "sgd":
            return torch.optim.SGD(
                scaled,
                lr=self.lr,
                momentum=self.momentum,
                nesterov=self.nesterov,
                weight_decay=self.weight_decay,
            )
        kind = torch.optim.Adam if self.name == "adam" else torch.optim.AdamW
        return kind(scaled, lr=self.lr, betas=self.betas, weight_decay=self.weight_decay)


def _by_decay(group: dict[str, Any]) -> list[dict[str, Any]]:
    """The group's tensors of two and more dimensions, then the others without weight decay."""
    parameters = list(group["params"])
    matrices = [p for p in parameters if p.dim() >= 2]
    vectors = [p for p in parameters if p.dim() < 2]
    parts = [{**group, "params": matrices}, {**group, "params": vectors, "weight_decay": 0.0}]
    return [part for part in parts if part["params"]]


class Schedule(BaseModel):
    """The factor on the learning rate as a function of the epoch, fractional where `per` is step.

    `milestones` are 0-based epochs at whose start the rate is multiplied by `gamma`; a value below
    1 is a fraction of the phase's epochs. A cosine falls to `final` times the rate at the end of
    the phase.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Literal["constant", "steps", "cosine"] = "constant"
    per: Literal["step", "epoch"] = "epoch"
    milestones: tuple[float, ...] = ()
    gamma: float = 0.1
    final: float = Field(default=0.0, ge=0)
    warmup_epochs: float = Field(default=0.0, ge=0)

    def factor(self, epoch: int, epochs: int, fraction: float = 0.0) -> float:
        """The factor in 0-based `epoch` of `epochs`, `fraction` in [0, 1) of which has passed."""
        now = epoch + (fraction if self.per == "step" else 0.0)
        if now < self.warmup_epochs:
            reached = now if self.per == "step" else epoch + 1
            return min(1.0, reached / self.warmup_epochs)
        if self.name == "steps":
            passed = sum(now >= (m * epochs if m < 1 else m) for m in self.milestones)
            return float(self.gamma**passed)
        if self.name == "cosine":
            span = max(epochs - self.warmup_epochs, 1e-9)
            done = min(1.0, (now - self.warmup_epochs) / span)
            return self.final + (1.0 - self.final) * 0.5 * (1.0 + math.cos(math.pi * done))
        return 1.0


def set_rate(optimiser: torch.optim.Optimizer, lr: float) -> None:
    """Sets every group's learning rate to `lr` times the group's own scale."""
    for group in optimiser.param_groups:
        group["lr"] = lr * group["lr_scale"]
