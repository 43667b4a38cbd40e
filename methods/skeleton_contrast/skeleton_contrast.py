"""Skeleton-Contrast: momentum contrast within a representation of the skeleton, or across several.

Source: Thoker, Doughty, Snoek, "Skeleton-Contrastive 3D Action Representation Learning", ACM
Multimedia 2021; fmthoker/skeleton-contrast, moco/builder_intra.py and moco/builder_inter.py.
Shapes: N samples, C coordinates, T frames, V joints, M persons, D the width of a projection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import ClassVar

import torch
from torch import Tensor, nn

from skelray.methods.skeleton_contrast import checkpoints
from skelray.methods.skeleton_contrast.config import (
    FOUR_DEVICES,
    NTU120,
    SMALL,
    SOUND,
    SkeletonContrastConfig,
)
from skelray.methods.skeleton_contrast.recipes import RECIPES
from skelray.methods.skeleton_contrast.representations import contrast_of, form_of
from skelray.platform.augment.spatial import shear_or_corrupt
from skelray.platform.augment.temporal import central_crop, crop_resize, random_crop
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
from skelray.platform.nn.heads import EncoderClassifier
from skelray.platform.nn.moco import MomentumContrast
from skelray.platform.objectives.contrastive import contrast_top1, info_nce, unit_vectors
from skelray.platform.optim import Optimiser, Schedule
from skelray.platform.preprocessing import Preprocessing

FIELD = "skeleton"
CENTRAL = 0.95  # share of a recording that evaluation reads
PROBED = 0.5  # least share of it that an evaluation is trained on


class SkeletonContrast(Method):
    """Each representation's queries find the keys of all others; of one, its own."""

    Config = SkeletonContrastConfig
    PRESETS: ClassVar = {
        "ntu120": NTU120,
        "four_devices": FOUR_DEVICES,
        "sound": SOUND,
        "small": SMALL,
    }
    config: SkeletonContrastConfig

    def __init__(self, config: SkeletonContrastConfig, data: DataSpec) -> None:
        super().__init__(config, data)
        self.contrasts = nn.ModuleDict(
            {name: contrast_of(name, config, data) for name in config.representations}
        )
        self.outputs = {name: one.feature_dim for name, one in self.each().items()}
        self.encoders = tuple(f"contrasts.{name}.encoder" for name in self.outputs)

    def each(self) -> dict[str, MomentumContrast]:
        """Encoders, projectors and queue of each representation, in the order configured."""
        found = self.contrasts.items()
        return {name: one for name, one in found if isinstance(one, MomentumContrast)}

    def inputs(self, use: str) -> Inputs:
        """One skeleton field for pretraining and for evaluation, of the recordings' own lengths."""
        config = self.config
        parameters = {"persons": self.data.persons} | {
            name: getattr(config, name) for name in ("bodies", "gaps", "centre", "turn")
        }
        return Inputs(skeletons={FIELD: Preprocessing(name="energy_ranked", parameters=parameters)})

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
        """Two independently augmented copies, each in the forms of all representations."""
        config = self.config
        found: Views = {}
        for view in ("query", "key"):
            x = self._cropped(batch, draws, view, config.crop)
            x = shear_or_corrupt(draws, view, x, corrupted=config.corrupted_joints)
            found |= {f"{view}/{name}": form_of(x, name) for name in self.outputs}
        return found

    def _cropped(self, batch: Batch, draws: Draws, tag: str, share: tuple[float, float]) -> Tensor:
        """A random stretch of each recording, (N, C, T, V, M)."""
        clips, config = batch.skeletons[FIELD], self.config
        low, high = share
        stretch = random_crop(
            draws, tag, clips.length, low=low, high=high, shortest=config.shortest_crop
        )
        return crop_resize(clips, *stretch, config.frames)

    def before_step(self, progress: Progress) -> None:
        """The key encoders follow the query encoders before the optimiser moves these."""
        for one in self.each().values():
            one.move_key(self.config.momentum)

    def forward(self, views: Views, progress: Progress) -> Step:
        """The sum over ordered pairs of representations; of a single one, with itself."""
        config, each = self.config, self.each()
        queries: dict[str, Tensor] = {}
        keys: dict[str, Tensor] = {}
        for name, one in each.items():
            query, key = (views[f"{view}/{name}"] for view in ("query", "key"))
            queries[name], keys[name] = one.project(query, key, config.norm_groups)
        trace = {f"z:query/{name}": z.detach() for name, z in queries.items()}
        trace |= {f"z:key/{name}": z for name, z in keys.items()}
        unit = {name: unit_vectors(z) for name, z in keys.items()}
        contrasts = {
            _pair(source, target): info_nce(
                unit_vectors(queries[source]),
                unit[target],
                each[target].queue.features,
                config.temperature,
            )
            for source, target in self._pairs()
        }
        return Step(
            loss=torch.stack([contrast.loss for contrast in contrasts.values()]).sum(),
            terms={pair: contrast.loss for pair, contrast in contrasts.items()},
            figures={
                f"contrast_top1_{pair}": contrast_top1(contrast.logits)
                for pair, contrast in contrasts.items()
            },
            carry={f"key/{name}": key for name, key in unit.items()},
            trace=trace,
        )

    def _pairs(self) -> list[tuple[str, str]]:
        names = list(self.outputs)
        return list(permutations(names, 2)) if len(names) > 1 else [(names[0], names[0])]

    def after_step(self, carry: Mapping[str, Tensor], progress: Progress) -> None:
        """Queues the keys of the global batch, or its first ones: in all queues at the same place.

        Rows of the queue are in the order of the samples, whatever the ranks.
        """
        for name, one in self.each().items():
            one.queue.enqueue(carry[f"key/{name}"][: self.config.queued_keys])

    def eval_views(self, batch: Batch, output: str, draws: Draws | None = None) -> Views:
        """The recording without its ends, or a random half or more of it; not augmented further."""
        if draws is not None:
            x = self._cropped(batch, draws, "evaluation", (PROBED, 1.0))
        else:
            clips = batch.skeletons[FIELD]
            x = crop_resize(clips, *central_crop(clips.length, CENTRAL), self.config.frames)
        return {output: form_of(x, output)}

    def features(self, views: Views, names: Sequence[str]) -> dict[str, Tensor]:
        """The query encoders' outputs."""
        each = self.each()
        return {name: each[name].encoder(views[name]) for name in names}

    def classifier(self, classes: int, output: str, recipe: EvalRecipe) -> Classifier:
        """A linear layer on a query encoder."""
        encoder = self.each()[output].encoder
        return EncoderClassifier(encoder, self.outputs[output], classes, output)

    @classmethod
    def recipes(cls) -> Mapping[str, EvalRecipe]:
        """Linear evaluation as published; fine-tuning, from scratch too, and with few labels."""
        return RECIPES

    @classmethod
    def published(cls, states: Sequence[Mapping[str, Tensor]], network: str) -> PublishedState:
        """Checkpoints of fmthoker/skeleton-contrast."""
        return checkpoints.translate(states[0], network)


def _pair(query: str, key: str) -> str:
    return query if query == key else f"{query}_{key}"
