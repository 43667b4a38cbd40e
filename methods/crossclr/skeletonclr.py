"""SkeletonCLR: momentum contrast (MoCo v2) of one stream of skeletons with an ST-GCN.

Source: Li et al., "3D Human Action Representation Learning via Cross-View Consistency Pursuit",
CVPR 2021; LinguoLi/CrosSCLR, net/skeletonclr.py. Shapes: N samples, C coordinates, T frames, V
joints, M persons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from skelray.methods.crossclr import checkpoints
from skelray.platform.augment.spatial import shear
from skelray.platform.augment.temporal import temporal_crop
from skelray.platform.method import (
    Batch,
    DataSpec,
    Draws,
    EvalRecipe,
    Inputs,
    Method,
    MethodConfig,
    Phase,
    Progress,
    PublishedState,
    Step,
    Views,
)
from skelray.platform.nn.heads import projector
from skelray.platform.nn.init import init_normal_
from skelray.platform.nn.momentum import copy_parameters, freeze, momentum_update
from skelray.platform.nn.queue import FeatureQueue
from skelray.platform.nn.stgcn import STGCN
from skelray.platform.objectives.contrastive import info_nce, unit_vectors
from skelray.platform.optim import Optimiser, Schedule
from skelray.platform.preprocessing import Preprocessing
from skelray.platform.skeleton.graph import adjacency
from skelray.platform.skeleton.streams import to_stream

FIELD = "skeleton"


class SkeletonCLRConfig(MethodConfig):
    """The published recipe (section 4 of the paper and its repository's configuration)."""

    stream: Literal["joint", "bone", "motion"] = "joint"
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


class SkeletonCLR(Method):
    """Query and momentum key encoder with projectors, and a queue of keys as negatives."""

    Config = SkeletonCLRConfig
    PRESETS: ClassVar = {
        # for sets of about a thousand recordings on two cores: queue at most half an epoch,
        # momentum averaging over about three; docs/results.md says what was tried
        "small": {
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
        },
    }
    config: SkeletonCLRConfig

    def __init__(self, config: SkeletonCLRConfig, data: DataSpec) -> None:
        super().__init__(config, data)
        self.outputs = {config.stream: config.feature_dim}
        self.encoders = ("encoder",)
        self.encoder, self.projector = self._network()
        self.key_encoder, self.key_projector = self._network()
        freeze(self.key_encoder)
        freeze(self.key_projector)
        self.queue = FeatureQueue(config.queue, config.projection_dim)
        if config.initialisation == "published":
            init_normal_(self)
        if config.key_init == "copy":
            copy_parameters(self.encoder, self.key_encoder)
            copy_parameters(self.projector, self.key_projector)

    def _network(self) -> tuple[STGCN, nn.Sequential]:
        config = self.config
        encoder = STGCN(
            graph=adjacency(self.data.skeleton),
            in_channels=self.data.coordinates,
            channels=config.channels,
            feature_dim=config.feature_dim,
            dropout=config.dropout,
        )
        head = projector(config.feature_dim, config.feature_dim, config.projection_dim)
        return encoder, head

    def inputs(self, use: str) -> Inputs:
        """One skeleton field for pretraining and for evaluation."""
        parameters = {
            "persons": self.data.persons,
            "frames": self.config.frames,
            "centre": self.config.centre,
            "align": self.config.align,
        }
        return Inputs(skeletons={FIELD: Preprocessing(name="body_centred", parameters=parameters)})

    def phases(self) -> Sequence[Phase]:
        """The single phase of pretraining."""
        config = self.config
        optimiser = Optimiser(
            lr=config.lr, momentum=config.sgd_momentum, weight_decay=config.weight_decay
        )
        return [
            Phase(
                epochs=config.epochs,
                batch=config.batch,
                optimiser=optimiser,
                schedule=Schedule(name="steps", milestones=config.milestones),
                precision=config.precision,
            )
        ]

    def views(self, batch: Batch, draws: Draws, progress: Progress) -> Views:
        """Two independently augmented copies, as the stream that is learnt."""
        x = batch.skeletons[FIELD].dense()
        return {name: self._augment(x, draws, name) for name in ("query", "key")}

    def _augment(self, x: Tensor, draws: Draws, name: str) -> Tensor:
        config = self.config
        if config.crop_ratio:
            padding = x.shape[2] // config.crop_ratio
            start = draws.integers(f"{name}/crop", low=0, high=2 * padding + 1)
            x = temporal_crop(x, start, padding)
        if config.shear:
            a = draws.uniform(f"{name}/shear_a", 3, low=-config.shear, high=config.shear)
            b = draws.uniform(f"{name}/shear_b", 3, low=-config.shear, high=config.shear)
            x = shear(x, a, b)
        return to_stream(x, config.stream, self.data.skeleton)

    def before_step(self, progress: Progress) -> None:
        """The key encoder follows the query encoder before the optimiser moves it, as published."""
        momentum_update(self.encoder, self.key_encoder, self.config.momentum)
        momentum_update(self.projector, self.key_projector, self.config.momentum)

    def forward(self, views: Views, progress: Progress) -> Step:
        """InfoNCE of each query with its key among the queued keys."""
        query_z = self.projector(self.encoder(views["query"]))
        with torch.no_grad():
            key_z = self.key_projector(self.key_encoder(views["key"]))
            key = unit_vectors(key_z)
        contrast = info_nce(
            unit_vectors(query_z), key, self.queue.features, self.config.temperature
        )
        accuracy = 100.0 * (contrast.logits.detach().argmax(1) == 0).float().mean()
        return Step(
            loss=contrast.loss,
            figures={"contrast_top1": accuracy},
            carry={"key": key},
            trace={"z:query": query_z.detach(), "z:key": key_z, "logits": contrast.logits.detach()},
        )

    def after_step(self, carry: Mapping[str, Tensor], progress: Progress) -> None:
        """Queues the keys of the global batch."""
        self.queue.enqueue(carry["key"])

    def eval_views(self, batch: Batch, output: str, draws: Draws | None = None) -> Views:
        """The clip as it is, or augmented as in pretraining, as the stream that was learnt."""
        x = batch.skeletons[FIELD].dense()
        if draws is not None:
            return {output: self._augment(x, draws, "evaluation")}
        return {output: to_stream(x, self.config.stream, self.data.skeleton)}

    def features(self, views: Views, names: Sequence[str]) -> dict[str, Tensor]:
        """The query encoder's output (N, feature_dim)."""
        return {name: self.encoder(views[name]) for name in names}

    def classifier(self, classes: int, output: str, recipe: EvalRecipe) -> nn.Module:
        """The query encoder with a linear head; shares the encoder's weights."""
        return StreamClassifier(self.encoder, self.config.feature_dim, classes, output)

    @classmethod
    def recipes(cls) -> Mapping[str, EvalRecipe]:
        """Linear evaluation as published."""
        return {
            "linear": EvalRecipe(
                optimiser=Optimiser(lr=3.0, momentum=0.9),
                schedule=Schedule(name="steps", milestones=(80,)),
                epochs=100,
                batch=128,
                source="LinguoLi/CrosSCLR, config/linear_eval",
            )
        }

    @classmethod
    def published(cls, states: Sequence[Mapping[str, Tensor]], network: str) -> PublishedState:
        """Checkpoints of LinguoLi/CrosSCLR's SkeletonCLR."""
        return checkpoints.translate(states[0], network)


class StreamClassifier(nn.Module):
    """Encoder and linear head: `eval_views` -> logits (N, classes)."""

    def __init__(self, encoder: STGCN, width: int, classes: int, output: str) -> None:
        super().__init__()
        self.output = output
        self.encoder = encoder
        self.head = nn.Linear(width, classes)

    def forward(self, views: Views) -> Tensor:
        """Logits of the output's view."""
        logits: Tensor = self.head(self.encoder(views[self.output]))
        return logits
