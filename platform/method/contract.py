"""The method contract: what a plugin under `methods/` is, in torch alone.

The platform owns the data's order, devices, DDP, precision, checkpoints, evaluation and tracking; a
method owns its networks, its views, its loss and what it remembers between steps. See
docs/adding-a-method.md.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from skelray.platform.method.batch import Batch
from skelray.platform.method.draws import Draws
from skelray.platform.optim import Optimiser, Schedule
from skelray.platform.preprocessing import Preprocessing
from skelray.platform.skeleton.spec import SkeletonSpec

Views = dict[str, Tensor]
"""Augmented inputs of one step by name: skeletons (N,C,T,V,M), clips (N,3,T,H,W), masks, noise."""


class MethodConfig(BaseModel):
    """Base of every method's `Config`; the defaults are the published recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, kw_only=True)
class ClipSpec:
    """Which RGB frames a method reads, and what of their pictures; see `platform.clips`.

    One frame of each of `frames` equal bins of the recording: a random one, the middle one, or
    mmaction2's test clip (`seeded`), cut to a box and resized to `size` x `size` pixels. The box is
    that of the persons in the frames chosen (`joints`), in all frames (`recording`), or the whole
    picture. `joints` names the skeleton field with the positions in the picture (preprocessing
    pose_2d): where there is one, as many of its frames are chosen, drawn for themselves.
    """

    frames: int
    size: int
    sampling: Literal["random", "central", "seeded"] = "random"
    box: Literal["joints", "recording", "whole"] = "recording"
    joints: str = ""


@dataclass(frozen=True, kw_only=True)
class DataSpec:
    """What a method may know of the data it is built for; part of every checkpoint."""

    skeleton: SkeletonSpec
    persons: int
    coordinates: int
    classes: int | None = None
    clip: ClipSpec | None = None


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What a phase or an output reads: field name -> preprocessing, and the clip, if any."""

    skeletons: Mapping[str, Preprocessing] = field(default_factory=dict)
    clip: ClipSpec | None = None


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where training stands; everything counts from 0. `epoch` counts within the phase."""

    phase: str
    epoch: int
    epochs: int
    step: int  # optimiser steps since the phase began
    step_in_epoch: int
    steps_per_epoch: int
    micro: int = 0  # part of an accumulated step

    def fraction(self) -> float:
        """Share of the phase that has passed, in [0, 1)."""
        return self.step / max(1, self.epochs * self.steps_per_epoch)


@dataclass(kw_only=True)
class Step:
    """What one forward pass gives.

    `terms` are logged as `train/loss_<name>`, `figures` as `train/<name>`. `carry` holds detached
    rows of this rank's samples; `after_step` gets those of the whole global batch in sample order.
    `trace` holds detached intermediate values for parity tests.
    """

    loss: Tensor
    terms: Mapping[str, Tensor] = field(default_factory=dict)
    figures: Mapping[str, Tensor] = field(default_factory=dict)
    carry: Mapping[str, Tensor] = field(default_factory=dict)
    trace: Mapping[str, Tensor] = field(default_factory=dict)


class Phase(BaseModel):
    """One stretch of training with its own trainable set, optimiser and schedule.

    `batch` is global. `trainable` and `eval_mode` are prefixes of parameter and module names: an
    empty `trainable` means all that require gradients; modules under `eval_mode` stay in eval mode.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = "pretrain"
    epochs: int = Field(gt=0)
    part: Literal["train", "holdout"] = "train"
    batch: int = Field(gt=0)
    last: Literal["drop", "pad"] = "drop"
    labels: bool = False
    trainable: tuple[str, ...] = ()
    eval_mode: tuple[str, ...] = ()
    optimiser: Optimiser
    schedule: Schedule = Schedule()
    precision: Literal["float32", "bf16", "fp16"] = "float32"
    clip_norm: float | None = None


class EvalRecipe(BaseModel):
    """How a classifier on features is trained and judged; `source`: where it was published."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trainable: Literal["head", "all"] = "head"
    augment: bool = False
    outputs: tuple[str, ...] = ()  # empty: the method's first output
    combine: Literal["mean_logits", "sum_logits", "none"] = "none"
    weights: tuple[float, ...] = ()
    normalise: bool = False  # features standardised by their training mean and deviation
    optimiser: Optimiser
    layer_decay: float = 1.0
    schedule: Schedule = Schedule()
    epochs: int = Field(gt=0)
    batch: int = Field(gt=0)
    last: Literal["drop", "keep"] = "drop"
    smoothing: float = 0.0
    test_every: int = Field(default=5, gt=0)
    head_std: float | None = 0.02  # None: torch's initialisation
    drop_path: float = Field(default=0.0, ge=0, lt=1)  # of the last residual block; see Classifier
    dropout: float = Field(default=0.0, ge=0, lt=1)  # in front of the head
    precision: Literal["float32", "bf16", "fp16"] = "float32"
    source: str = ""


class Classifier(nn.Module, ABC):
    """What `Method.classifier` returns: an encoder, and the layer `head` that gives the logits.

    Where a recipe's rates decay from layer to layer, a parameter's rate is multiplied by
    decay ** (layers - layer(name)).
    """

    layers: int = 0

    @abstractmethod
    def forward(self, views: Views) -> Tensor:
        """Logits (N, classes) of what `eval_views` gives."""

    def layer(self, name: str) -> int:
        """The layer, 0 to `layers`, of the parameter of that name; by default no rate decays."""
        return self.layers


class Method(nn.Module, ABC):
    """A self-supervised method. Everything stateful lives in parameters and buffers.

    `outputs` maps the features that can be evaluated to their dimension; `encoders` names the
    submodules that are compiled and exported; `couples_batch` says that the loss couples samples of
    a batch, so that gradients cannot be accumulated over parts of it.
    """

    Config: ClassVar[type[MethodConfig]]
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    DEFAULTS: ClassVar[str] = "published"  # what the settings without a preset are called
    couples_batch: ClassVar[bool] = False
    outputs: Mapping[str, int]
    encoders: Sequence[str]

    def __init__(self, config: MethodConfig, data: DataSpec) -> None:
        super().__init__()
        self.config = config
        self.data = data

    @abstractmethod
    def inputs(self, use: str) -> Inputs:
        """What the phase or output named `use` reads."""

    def training_inputs(self, output: str) -> Inputs:
        """What training a classifier on an output reads, where its recipe augments.

        By default what the output reads.
        """
        return self.inputs(output)

    @abstractmethod
    def phases(self) -> Sequence[Phase]:
        """The phases of pretraining in order."""

    def parameter_groups(self, phase: Phase) -> list[dict[str, Any]]:
        """Parameter groups of the phase's optimiser, by default one; `lr_scale` scales the rate."""
        return [{"params": [p for p in self.parameters() if p.requires_grad]}]

    @abstractmethod
    def views(self, batch: Batch, draws: Draws, progress: Progress) -> Views:
        """The augmented inputs of a step; runs without gradient on the training device."""

    def before_step(self, progress: Progress) -> None:
        """Once per optimiser step, before its forward: momentum encoders that move first."""

    @abstractmethod
    def forward(self, views: Views, progress: Progress) -> Step:
        """The loss of a step; all trainable parameters take part (DDP wraps this)."""

    def after_step(self, carry: Mapping[str, Tensor], progress: Progress) -> None:
        """After the optimiser's step: EMA teachers, queues. `carry`: rows of the global batch."""

    @abstractmethod
    def eval_views(self, batch: Batch, output: str, draws: Draws | None = None) -> Views:
        """Deterministic inputs for `features`; with `draws`, augmented to train that evaluation."""

    @abstractmethod
    def features(self, views: Views, names: Sequence[str]) -> dict[str, Tensor]:
        """Features (N, D) by output name: before the projector, in eval mode."""

    def classifier(self, classes: int, output: str, recipe: EvalRecipe) -> Classifier:
        """From `eval_views` to logits (N, classes), for recipes that read no cached features.

        It holds copies: training it leaves the method as it is.
        """
        raise NotImplementedError(f"{type(self).__name__} has no classifier for recipe training")

    @classmethod
    def recipes(cls) -> Mapping[str, EvalRecipe]:
        """Published evaluation recipes by evaluation name (linear, finetune, semi …)."""
        return {}

    def predict(self, views: Views) -> Tensor:
        """Predicted skeletons (N, C, T, V, M), for methods that predict motion.

        `views` are `eval_views` of the output `prediction`, which hold what they are compared with:
        `prediction/target` (N, C, T, V, M) and `prediction/last` (N, C, V, M), the pose before.
        """
        raise NotImplementedError(f"{type(self).__name__} predicts no skeletons")

    def logits(self, views: Views) -> Tensor:
        """Logits (N, classes) of the method's own recognition head."""
        raise NotImplementedError(f"{type(self).__name__} has no recognition head")

    @classmethod
    def published(cls, states: Sequence[Mapping[str, Tensor]], network: str) -> PublishedState:
        """Translates the original's state dicts, `network` being "pretrain" or "classifier".

        CheckpointError where a key is missing or unknown; see `skelray.platform.published`.
        """
        raise NotImplementedError(f"{cls.__name__} imports no published checkpoints")


@dataclass(frozen=True, kw_only=True)
class PublishedState:
    """An original's checkpoint in our terms.

    `config` are the overrides its tensor shapes imply, `data` what it was trained on, `state` our
    state_dict, and `absent` the keys of ours that the original does not hold (prefix -> reason).
    A classifier is that of `recipe` on `output`; of all outputs together where none is named.
    """

    config: Mapping[str, Any]
    data: DataSpec
    state: Mapping[str, Tensor]
    absent: Mapping[str, str] = field(default_factory=dict)
    recipe: str = "linear"
    output: str = ""


def matches(name: str, prefixes: Sequence[str]) -> bool:
    """True where a dotted parameter or module name lies under one of the prefixes."""
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)
