"""UmURL: features of fused streams that hold what those of every stream hold.

Source: Sun et al., "Unified Multi-modal Unsupervised Representation Learning for Skeleton-based
Action Understanding", ACM Multimedia 2023; HuiGuanLab/UmURL, pretrain.py and umurl.py. Shapes: N
clips, C coordinates, T frames, V joints, M persons, K pairs of projections, P their width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from skelray.methods.umurl import checkpoints
from skelray.methods.umurl.config import SMALL, UmURLConfig
from skelray.methods.umurl.encoder import FUSED, OUTPUTS, Encoder
from skelray.methods.umurl.recipes import RECIPES
from skelray.platform.augment.spatial import shear_or_corrupt
from skelray.platform.augment.temporal import crop_resize, random_crop
from skelray.platform.distributed import world_size
from skelray.platform.errors import UsageError
from skelray.platform.method import (
    Batch,
    Classifier,
    DataSpec,
    Draws,
    EvalRecipe,
    Inputs,
    Method,
    Phase,
    Progress,
    PublishedState,
    Step,
    Views,
)
from skelray.platform.nn.heads import projector
from skelray.platform.objectives.variance_covariance import variance_covariance
from skelray.platform.optim import Optimiser, Schedule
from skelray.platform.preprocessing import Preprocessing
from skelray.platform.skeleton.streams import STREAMS

FIELD = "skeleton"
PAIR = ("first", "second")  # views of the baseline


class UmURL(Method):
    """One encoder, and a projector for every stream that takes its share out of fused features."""

    Config = UmURLConfig
    PRESETS: ClassVar = {"small": SMALL}
    couples_batch = True
    config: UmURLConfig

    def __init__(self, config: UmURLConfig, data: DataSpec) -> None:
        super().__init__(config, data)
        width, baseline = 2 * config.dim, config.objective == "baseline"
        self.outputs = dict.fromkeys((FUSED,) if baseline else OUTPUTS, width)
        self.encoders = ("encoder",)
        self.encoder = Encoder(config, data)
        self.projectors = nn.ModuleDict(
            {
                name: projector(width, width, width, config.projection_dim, norm=True)
                for name in ((FUSED,) if baseline else STREAMS)
            }
        )

    def inputs(self, use: str) -> Inputs:
        """The same recordings for pretraining and evaluation, turned by the shoulders alone."""
        parameters = {"persons": self.data.persons, "spine": False}
        made = Preprocessing(name="energy_ranked", parameters=parameters)
        return Inputs(skeletons={FIELD: made})

    def phases(self) -> Sequence[Phase]:
        """The single phase of pretraining."""
        config = self.config
        return [
            Phase(
                epochs=config.epochs,
                batch=config.batch,
                last=config.last,
                optimiser=Optimiser(name="adam", lr=config.lr, weight_decay=config.weight_decay),
                schedule=Schedule(name="steps", milestones=config.milestones),
                precision=config.precision,
            )
        ]

    def views(self, batch: Batch, draws: Draws, progress: Progress) -> Views:
        """Independent views (N, C, T, V, M) of the joints: one for each stream, one to be fused."""
        names = PAIR if self.config.objective == "baseline" else (*STREAMS, FUSED)
        return self._augmented(batch, draws, names)

    def _augmented(self, batch: Batch, draws: Draws, names: Sequence[str]) -> Views:
        config, recordings = self.config, batch.skeletons[FIELD]
        start, count = random_crop(
            draws,
            FIELD,
            recordings.length,
            low=config.crop,
            shortest=config.frames,
            crops=(len(names),),
        )
        corrupted = round(config.corrupted * self.data.skeleton.n_joints)
        x = crop_resize(recordings, start, count, config.frames)
        return dict(zip(names, shear_or_corrupt(draws, FIELD, x, corrupted=corrupted), strict=True))

    def forward(self, views: Views, progress: Progress) -> Step:
        """Consistency of the projections, and the variance and covariance of each of them."""
        config = self.config
        if len(next(iter(views.values()))) * world_size() < 2:
            raise UsageError(
                "the epoch's last batch holds one recording, which has no variance: set "
                "method.last=drop or another method.batch"
            )
        z = torch.cat(self._projections(views))  # (2 K, N, P)
        exact = z.to(torch.promote_types(z.dtype, torch.float32))
        fused, own = exact.chunk(2)
        intra = (own - fused).square().mean(dim=(1, 2)).sum()
        inter = (own - own.mean(dim=0)).square().mean(dim=(1, 2)).sum()
        terms = variance_covariance(z if config.half_precision_loss else exact)
        variance, covariance = (term.sum() for term in terms)
        consistency = config.consistency * (intra + inter)
        spread = config.variance * variance + config.covariance * covariance
        return Step(
            loss=consistency + spread,
            terms={"intra": intra, "inter": inter, "variance": variance, "covariance": covariance},
            trace={"z": z.detach()},
        )

    def _projections(self, views: Views) -> tuple[Tensor, Tensor]:
        """Pairs that are to agree, (K, N, P) each: of fused streams, and of one alone.

        The two of the baseline, K = 1, are both of fused streams; "inter" is 0 then. Each goes
        through BatchNorm by itself, that of fused streams first.
        """
        if self.config.objective == "baseline":
            first, second = self.encoder([(FUSED, views[name]) for name in PAIR])
            project = self.projectors[FUSED]
            return project(first)[None], project(second)[None]
        fused, *each = self.encoder([(name, views[name]) for name in OUTPUTS])
        pairs = [
            (self.projectors[name](fused), self.projectors[name](own))
            for name, own in zip(STREAMS, each, strict=True)
        ]
        together, alone = zip(*pairs, strict=True)
        return torch.stack(together), torch.stack(alone)

    def eval_views(self, batch: Batch, output: str, draws: Draws | None = None) -> Views:
        """The whole recording, resized, or a view as in pretraining."""
        if draws is not None:
            return self._augmented(batch, draws, [output])
        whole = batch.skeletons[FIELD]
        start = torch.zeros_like(whole.length)
        return {output: crop_resize(whole, start, whole.length, self.config.frames)}

    def features(self, views: Views, names: Sequence[str]) -> dict[str, Tensor]:
        """The encoder's outputs (N, 2 · dim)."""
        found = self.encoder([(name, views[name]) for name in names])
        return dict(zip(names, found, strict=True))

    def classifier(self, classes: int, output: str, recipe: EvalRecipe) -> Classifier:
        """A linear layer on a copy of what makes the output."""
        return OutputClassifier(
            self.encoder.copy_for(output), self.outputs[output], classes, output
        )

    @classmethod
    def recipes(cls) -> Mapping[str, EvalRecipe]:
        """Linear evaluation as published; the others are ours."""
        return RECIPES

    @classmethod
    def published(cls, states: Sequence[Mapping[str, Tensor]], network: str) -> PublishedState:
        """Checkpoints of HuiGuanLab/UmURL."""
        return checkpoints.translate(states[0], network)


class OutputClassifier(Classifier):
    """Encoder and linear head: `eval_views` -> logits (N, classes)."""

    def __init__(self, encoder: Encoder, width: int, classes: int, output: str) -> None:
        super().__init__()
        self.output = output
        self.encoder = encoder
        self.head = nn.Linear(width, classes)

    def forward(self, views: Views) -> Tensor:
        """Logits of the output's view."""
        (features,) = self.encoder([(self.output, views[self.output])])
        logits: Tensor = self.head(features)
        return logits
