"""What can be said against an evaluation before anything is trained or measured."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from skelray.platform import registry
from skelray.platform.config import ClassifierSettings, RunConfig
from skelray.platform.data.clip_loading import require_frames
from skelray.platform.data.few_labels import few_labels
from skelray.platform.data.parts import Part
from skelray.platform.data.source import Source
from skelray.platform.errors import DataError, UsageError
from skelray.platform.evaluation.classifier_configs import (
    classifier_configs,
    probes_while_augmenting,
    recipe_of,
)
from skelray.platform.evaluation.linear_fast import require_choice
from skelray.platform.method import Method

PARTS: tuple[Part, Part] = ("train", "test")
_RECIPES = ("published", "fast", "logistic")


def check_evaluation(config: RunConfig, source: Source, method: Method) -> None:
    """UsageError for unknown outputs and recipes, DataError where a recipe lacks recordings.

    The caches of the method's first output must have been built.
    """
    asked = config.evaluation
    for output in (*asked.outputs, *asked.finetune, *asked.scratch, *asked.semi):
        if output not in method.outputs:
            hint = registry.nearest(output, method.outputs)
            raise UsageError(f"method {config.name} has no output {output!r}: {hint}")
    _check_probe(config, method)
    for one in classifier_configs(config, tuple(method.outputs)):
        _check_classifier(config, source, method, one.classifier)
    for name in config.evaluation.linear:
        if name not in _RECIPES:
            raise UsageError(f"evaluation.linear={name!r}: {registry.nearest(name, _RECIPES)}")
        if name == "published" and "linear" not in method.recipes():
            raise UsageError(
                f"method {config.name} has no published linear recipe: set evaluation.linear=[fast]"
            )
    if "fast" in config.evaluation.linear:
        _check_holdout(source, index_of(source, method))


def _check_probe(config: RunConfig, method: Method) -> None:
    """A probe that is trained on recordings reads one output."""
    if not probes_while_augmenting(type(method), config.evaluation):
        return
    recipe = recipe_of(type(method), "linear", config.evaluation)
    if len(config.evaluation.outputs or method.outputs) > 1 and recipe.combine != "none":
        raise UsageError(
            "the linear recipe augments and combines outputs, which cannot be done together: set "
            "evaluation.recipes.linear.augment=false or evaluation.outputs=[ONE]"
        )


def _check_classifier(
    config: RunConfig, source: Source, method: Method, asked: ClassifierSettings
) -> None:
    """What would otherwise be refused after hours of pretraining."""
    index = index_of(source, method)
    rows = rows_or_none(source, index, "train")
    rows = rows[index["label"][rows] >= 0]
    if not len(rows):
        return  # nothing is trained then
    if asked.share < 1:
        rows = few_labels(source, index, rows, asked.share)
    batch = asked.recipe.batch
    if asked.recipe.last == "drop" and len(rows) < batch:
        raise UsageError(
            f"{asked.measure} has batches of {batch}, there are {len(rows)} labelled training "
            f"recordings: set evaluation.recipes.{asked.recipe_name}.batch={len(rows)} or less"
        )
    reads = method.training_inputs if asked.recipe.augment else method.inputs
    if clip := reads(asked.output).clip:
        workers, parts = config.training.workers, config.training.accumulate
        require_frames(-(-batch // (workers * parts)) * clip.frames, config.data.frames_in_flight)


def index_of(source: Source, method: Method) -> Mapping[str, np.ndarray]:
    """The index of the recordings that the method's first output reads."""
    first = next(iter(method.outputs))
    return next(iter(source.caches(method.inputs(first)).values())).index


def rows_or_none(source: Source, index: Mapping[str, np.ndarray], part: Part) -> np.ndarray:
    """Rows of a part, none where it is empty: a split may be for pretraining alone."""
    try:
        return source.rows(index, part)
    except DataError:
        return np.empty(0, dtype=np.int64)


def _check_holdout(source: Source, index: Mapping[str, np.ndarray]) -> None:
    rows = {part: rows_or_none(source, index, part) for part in (*PARTS, "holdout")}
    labelled = {part: rows[part][index["label"][rows[part]] >= 0] for part in rows}
    if not all(len(labelled[part]) for part in PARTS):
        return  # nothing is measured then
    require_choice(
        torch.from_numpy(index["label"][labelled["train"]]),
        torch.from_numpy(np.isin(labelled["train"], labelled["holdout"])),
        len(source.classes),
    )
