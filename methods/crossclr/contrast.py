"""Momentum contrast (MoCo v2) of skeleton streams side by side: what the family's methods share.

Source: Li et al., "3D Human Action Representation Learning via Cross-View Consistency Pursuit",
CVPR 2021; LinguoLi/CrosSCLR, net/skeletonclr.py, net/crossclr_3views.py. Shapes: N samples, C
coordinates, T frames, V joints, M persons, D the width of a projection, K the length of a queue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from skelray.methods.crossclr import checkpoints
from skelray.methods.crossclr.config import ContrastConfig
from skelray.methods.crossclr.recipes import RECIPES
from skelray.platform.augment.spatial import shear
from skelray.platform.augment.temporal import temporal_crop
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
    Views,
)
from skelray.platform.nn.heads import EncoderClassifier, projector
from skelray.platform.nn.init import init_normal_
from skelray.platform.nn.moco import MomentumContrast
from skelray.platform.nn.momentum import momentum_update
from skelray.platform.nn.queue import FeatureQueue
from skelray.platform.nn.stgcn import STGCN
from skelray.platform.objectives.contrastive import unit_vectors
from skelray.platform.optim import Optimiser, Schedule
from skelray.platform.preprocessing import Preprocessing
from skelray.platform.skeleton.graph import adjacency
from skelray.platform.skeleton.streams import to_stream

FIELD = "skeleton"


class ContrastStream(MomentumContrast):
    """Momentum contrast of one stream.

    With a `tail`, the projectors end in those of that stream: these are the same modules.
    """

    def __init__(self, config: ContrastConfig, data: DataSpec, tail: ContrastStream | None) -> None:
        width = config.feature_dim
        encoders = _encoder(config, data), _encoder(config, data)
        ends = (None, None) if tail is None else (tail.projector, tail.key_projector)
        first, second = (_projector(width, config.projection_dim, end) for end in ends)
        queue = FeatureQueue(config.queue, config.projection_dim)
        super().__init__(encoders, (first, second), queue)

    def move_key(self, momentum: float, *, tail: bool = True) -> None:
        """The key encoder follows the query encoder; without `tail`, only what is not shared."""
        if tail:
            super().move_key(momentum)
            return
        momentum_update(self.encoder, self.key_encoder, momentum)
        momentum_update(self.projector[0], self.key_projector[0], momentum)


@dataclass(frozen=True)
class Contrasted:
    """What one stream has made of a batch; unit vectors, no gradient in `key`."""

    query: Tensor  # (N, D)
    key: Tensor  # (N, D)
    queue: Tensor  # (K, D): the keys of earlier steps


class StreamContrast(Method):
    """Loops over `streams`; what the loss is, is left to the methods."""

    config: ContrastConfig

    def __init__(
        self,
        config: ContrastConfig,
        data: DataSpec,
        streams: Sequence[str],
        *,
        shared_tail: bool = False,
    ) -> None:
        super().__init__(config, data)
        self.outputs = dict.fromkeys(streams, config.feature_dim)
        self.encoders = tuple(f"streams.{number}.encoder" for number in range(len(streams)))
        # by number: a checkpoint of one stream does not say which it is
        self.streams = nn.ModuleList()
        for _ in streams:
            first = next(iter(self.streams), None)
            tail = first if shared_tail else None
            assert tail is None or isinstance(tail, ContrastStream)
            self.streams.append(ContrastStream(config, data, tail))
        if config.initialisation == "published":
            init_normal_(self)
        if config.key_init == "copy":
            for _, stream in self.each():
                stream.copy_to_key()

    def each(self) -> list[tuple[str, ContrastStream]]:
        """The streams by name, in their order."""
        named = zip(self.outputs, self.streams, strict=True)
        return [(name, stream) for name, stream in named if isinstance(stream, ContrastStream)]

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
        """Two independently augmented copies of the joints, of which every stream is made."""
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
        return x

    def before_step(self, progress: Progress) -> None:
        """The key encoders follow the query encoders before the optimiser moves these."""
        for _, stream in self.each():
            stream.move_key(self.config.momentum)

    def contrast(self, views: Views) -> tuple[dict[str, Contrasted], dict[str, Tensor]]:
        """What each stream makes of the views, and its projections as a trace."""
        found: dict[str, Contrasted] = {}
        trace: dict[str, Tensor] = {}
        for name, stream in self.each():
            query, key = (to_stream(views[v], name, self.data.skeleton) for v in ("query", "key"))
            query_z, key_z = stream.project(query, key)
            found[name] = Contrasted(
                unit_vectors(query_z), unit_vectors(key_z), stream.queue.features
            )
            trace |= {f"z:query/{name}": query_z.detach(), f"z:key/{name}": key_z}
        return found, trace

    def carry(self, contrasted: Mapping[str, Contrasted]) -> dict[str, Tensor]:
        """The keys that `after_step` queues."""
        return {f"key/{name}": one.key for name, one in contrasted.items()}

    def after_step(self, carry: Mapping[str, Tensor], progress: Progress) -> None:
        """Queues the keys of the global batch: in every queue at the same places."""
        for name, stream in self.each():
            stream.queue.enqueue(carry[f"key/{name}"])

    def eval_views(self, batch: Batch, output: str, draws: Draws | None = None) -> Views:
        """The clip as it is, or augmented as in pretraining, as the output's stream."""
        x = batch.skeletons[FIELD].dense()
        if draws is not None:
            x = self._augment(x, draws, "evaluation")
        return {output: to_stream(x, output, self.data.skeleton)}

    def features(self, views: Views, names: Sequence[str]) -> dict[str, Tensor]:
        """The query encoders' outputs (N, feature_dim)."""
        streams = dict(self.each())
        return {name: streams[name].encoder(views[name]) for name in names}

    def classifier(self, classes: int, output: str, recipe: EvalRecipe) -> Classifier:
        """A linear layer on the stream's query encoder."""
        encoder = dict(self.each())[output].encoder
        return EncoderClassifier(encoder, self.config.feature_dim, classes, output)

    @classmethod
    def recipes(cls) -> Mapping[str, EvalRecipe]:
        """Linear evaluation as published, fine-tuning, and training from scratch."""
        return RECIPES

    @classmethod
    def published(cls, states: Sequence[Mapping[str, Tensor]], network: str) -> PublishedState:
        """Checkpoints of LinguoLi/CrosSCLR."""
        return checkpoints.translate(states[0], network)


def _encoder(config: ContrastConfig, data: DataSpec) -> STGCN:
    return STGCN(
        graph=adjacency(data.skeleton),
        in_channels=data.coordinates,
        channels=config.channels,
        feature_dim=config.feature_dim,
        dropout=config.dropout,
    )


def _projector(width: int, dim: int, tail: nn.Sequential | None) -> nn.Sequential:
    if tail is None:
        return projector(width, width, dim)
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), tail)
