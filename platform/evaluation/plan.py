"""What an evaluation measures: the rows of its table, each with its features and measurements."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from skelray.platform import paths
from skelray.platform.config import RunConfig
from skelray.platform.data.parts import Part
from skelray.platform.data.source import Source
from skelray.platform.evaluation.baselines import random_checkpoint
from skelray.platform.evaluation.check import (
    PARTS,
    check_evaluation,
    index_of,
    rows_or_none,
)
from skelray.platform.evaluation.classifier_configs import (
    classifier_configs,
    probes_while_augmenting,
    recipe_of,
)
from skelray.platform.evaluation.features import RAW as RAW_OUTPUT
from skelray.platform.evaluation.features import Features, extract, raw_features
from skelray.platform.evaluation.prediction import PredictionError, predicts
from skelray.platform.evaluation.probes import (
    TSNE,
    Clustering,
    FastLinear,
    LinearProbe,
    Logistic,
    Measurement,
    NearestNeighbours,
    PublishedLinear,
    Representation,
    Retrieval,
    Split,
)
from skelray.platform.evaluation.recognition import Recognition, recognises
from skelray.platform.evaluation.results import PRETRAINED, RANDOM, RAW
from skelray.platform.method import EvalRecipe
from skelray.platform.training.build import load_method
from skelray.platform.training.checkpoint import Checkpoint


@dataclass(frozen=True)
class Row:
    """One output of one encoder."""

    prefix: str  # of its figures' names
    split: Callable[[], Split]  # features, extracted when the first measurement asks for them
    measurements: Sequence[Measurement]


class Plan:
    """The rows for one checkpoint of a run; UsageError for unknown outputs and recipes."""

    def __init__(self, config: RunConfig, source: Source, checkpoint: Path, folder: Path) -> None:
        self.config = config
        self.source = source
        self.checkpoint = Checkpoint.open(checkpoint)
        self.trained_on = self.checkpoint.about["data"]
        self.folder = folder
        self.method = load_method(checkpoint)
        self.outputs = config.evaluation.outputs or tuple(self.method.outputs)
        self.recipe = self._linear_recipe()
        self.together = self._together()
        # its figures go without its name
        self.first = self.together or next(iter(self.method.outputs))
        check_evaluation(config, source, self.method)

    def _linear_recipe(self) -> EvalRecipe | None:
        if "linear" not in self.method.recipes():
            return None
        return recipe_of(type(self.method), "linear", self.config.evaluation)

    def _together(self) -> str | None:
        """The name of all outputs evaluated as one, where the recipe combines them."""
        if len(self.outputs) < 2 or self.recipe is None or self.recipe.combine == "none":
            return None
        return "-".join(self.outputs)

    @property
    def rows_of_encoder(self) -> list[str]:
        """The outputs that get a row, all of them together first."""
        return [*([self.together] if self.together else []), *self.outputs]

    def about(self) -> dict[str, Any]:
        """What the figures are figures of."""
        return {
            "method": self.config.name,
            "dataset": self.source.dataset.name,
            "protocol": self.source.protocol.name,
            "data_version": self.source.version,
            "trained_on": {key: self.trained_on[key] for key in ("dataset", "protocol")},
            "classes": len(self.source.classes),
            "metric": self.source.dataset.metric,
            **self._labelled,
            "checkpoint": str(self.checkpoint.path),
            "checkpoint_hash": paths.file_hash(self.checkpoint.path / "state.pt"),
            "step": self.checkpoint.step,
            "seed": self.config.seed,
            "first_output": self.first,
            "outputs": self.rows_of_encoder,
            "linear": list(self.config.evaluation.linear),
            "knn": list(self.config.evaluation.knn),
            "recipe": self.recipe.model_dump(mode="json") if self.recipe else None,
            "classifiers": self._classifiers(),
        }

    def _classifiers(self) -> list[dict[str, Any]]:
        """What is trained on the recordings themselves, and how."""
        fields = {"measure", "start", "output", "share", "recipe_name", "recipe"}
        return [
            one.classifier.model_dump(mode="json", include=fields)
            for one in classifier_configs(self.config, tuple(self.method.outputs))
        ]

    @cached_property
    def _index(self) -> Mapping[str, np.ndarray]:
        return index_of(self.source, self.method)

    def _rows(self, part: Part) -> np.ndarray:
        return rows_or_none(self.source, self._index, part)

    @cached_property
    def _labelled(self) -> dict[str, int]:
        """Recordings with a label in each part."""
        label = self._index["label"]
        return {part: int((label[self._rows(part)] >= 0).sum()) for part in PARTS}

    def rows(self) -> Iterator[Row]:
        """The checkpoint first: its figures are what an interruption should leave.

        There are none where a part has no labelled recording: nothing can be measured then.
        """
        if not all(self._labelled.values()):
            return
        pretrained = _Encoder(self, lambda: self.checkpoint.path)
        yield from self._encoder_rows(PRETRAINED, pretrained)
        if self.config.evaluation.baselines:
            data = self.method.data
            untrained = partial(random_checkpoint, self.config, self.source, data, self.folder)
            yield from self._encoder_rows(RANDOM, _Encoder(self, untrained))
            if not self.method.inputs(next(iter(self.method.outputs))).clip:
                yield Row(RAW, self._raw, [*self._raw_linear(), *self._neighbours()])

    def _encoder_rows(self, prefix: str, encoder: _Encoder) -> Iterator[Row]:
        pictured = prefix == PRETRAINED and self.config.evaluation.pictures
        for output in self.rows_of_encoder:
            own = prefix if output == self.first else f"{prefix}/{output}"
            probes: Iterable[LinearProbe] = self._linear(pictured)
            if prefix == PRETRAINED:  # what late fusion reads
                probes = (replace(p, tables=frozenset({f"{p.name}/scores"})) for p in probes)
            measurements: list[Measurement] = [*probes, *self._neighbours(), *self._unsupervised()]
            if pictured:
                measurements.append(TSNE())
            if prefix == PRETRAINED and output == self.first:
                measurements += self._own_heads()
            yield Row(own, partial(encoder.split, output), measurements)

    def _own_heads(self) -> Iterator[Measurement]:
        """Of what the method has beside its features, where it has any."""
        if recognises(self.method):
            yield Recognition(method=self.method, source=self.source)
        if predicts(self.method):
            drawn = frozenset({"prediction"} if self.config.evaluation.pictures else ())
            yield PredictionError(method=self.method, source=self.source, pictures=drawn)

    def _linear(self, pictured: bool) -> Iterator[LinearProbe]:
        for number, name in enumerate(self.config.evaluation.linear):
            drawn = frozenset({"confusion"} if pictured and number == 0 else ())
            if name == "fast":
                yield FastLinear(seed=self.config.seed, pictures=drawn)
            elif name == "logistic":
                yield Logistic(pictures=drawn)
            elif not probes_while_augmenting(type(self.method), self.config.evaluation):
                assert self.recipe is not None
                yield PublishedLinear(seed=self.config.seed, recipe=self.recipe, pictures=drawn)

    def _raw_linear(self) -> Iterator[Measurement]:
        """Of coordinates, for which the published rate has no meaning."""
        if self.config.evaluation.linear:
            yield FastLinear(seed=self.config.seed)
        if "logistic" in self.config.evaluation.linear:
            yield Logistic()

    def _neighbours(self) -> list[Measurement]:
        ks = self.config.evaluation.knn
        return [NearestNeighbours(ks=ks)] if ks else []

    def _unsupervised(self) -> list[Measurement]:
        """What learns nothing from labels, of encoders."""
        asked = self.config.evaluation
        measurements: list[Measurement] = [Representation()]
        if asked.retrieval:
            measurements.append(Retrieval(ks=asked.retrieval))
        if asked.clustering:
            measurements.append(Clustering(seed=self.config.seed))
        return measurements

    def _raw(self) -> Split:
        parts = {part: raw_features(self.source, self.method, part) for part in PARTS}
        return self.split(parts, RAW_OUTPUT)

    def split(self, parts: Mapping[Part, Features], output: str) -> Split:
        """The labelled recordings of both parts."""
        outputs = self.outputs if output == self.together else (output,)
        train, test = (parts[part].labelled(*outputs) for part in PARTS)
        labelled = parts["train"].id[parts["train"].label >= 0]
        held = np.isin(labelled, self._index["id"][self._rows("holdout")])
        return Split(
            train=train,
            test=test,
            holdout=torch.from_numpy(held),
            test_id=parts["test"].id[parts["test"].label >= 0],
            classes=self.source.classes,
            title=f"{self.config.name} on {self.source.dataset.name} "
            f"{self.source.protocol.name}, {output}, step {self.checkpoint.step}",
        )


class _Encoder:
    """The features of one checkpoint, extracted once for all outputs."""

    def __init__(self, plan: Plan, checkpoint: Callable[[], Path]) -> None:
        self.plan = plan
        self.checkpoint = checkpoint

    @cached_property
    def features(self) -> dict[Part, Features]:
        """Both parts, every output."""
        config = self.plan.config
        return extract(
            self.checkpoint(),
            self.plan.source,
            PARTS,
            outputs=self.plan.outputs,
            batch=config.evaluation.batch,
            workers=config.evaluation.workers,
            # the actors share what GPUs there are, unless training is to leave them alone
            num_gpus=0.0 if config.training.gpus_per_worker == 0 else None,
        )

    def split(self, output: str) -> Split:
        """The labelled recordings of both parts."""
        return self.plan.split(self.features, output)
