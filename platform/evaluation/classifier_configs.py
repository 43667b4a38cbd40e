"""Which classifiers an evaluation trains, each as a configuration of its own.

They are asked for by what they measure: linear probes whose recipe augments (others read cached
features), fine-tuning, training from scratch, and fine-tuning with few labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from skelray.platform import paths, registry
from skelray.platform.config import (
    ClassifierConfig,
    ClassifierSettings,
    EvaluationConfig,
    RunConfig,
    explain,
    keys_of,
    merge,
)
from skelray.platform.errors import UsageError
from skelray.platform.evaluation.results import PRETRAINED, RANDOM, SCRATCH
from skelray.platform.method import EvalRecipe, Method
from skelray.platform.training.checkpoint import Checkpoint


def recipe_of(method: type[Method], name: str, config: EvaluationConfig) -> EvalRecipe:
    """The method's recipe of that name with the changes that `config.recipes` asks for.

    UsageError where the method has none, or where a change fits none of its fields.
    """
    recipes = method.recipes()
    if name not in recipes:
        hint = registry.nearest(name, recipes) if recipes else "it has none"
        raise UsageError(f"{method.__name__} has no recipe {name!r}: {hint}")
    tree = recipes[name].model_dump()
    for recipe, changes in config.recipes.items():
        if recipe == name:
            merge(tree, changes)
    try:
        return EvalRecipe.model_validate(tree)
    except ValidationError as error:
        place = ("evaluation", "recipes", name)
        known = [".".join((*place, key)) for key in keys_of(EvalRecipe)]
        raise UsageError(explain(error, known, place)) from None


def classifier_configs(
    config: RunConfig, outputs: Sequence[str], checkpoints: Mapping[str, Path] | None = None
) -> Iterator[ClassifierConfig]:
    """The trainings that `config.evaluation` asks for; UsageError for recipes the method lacks.

    `outputs` are the method's; `checkpoints` those with whose weights the trainings begin, by the
    `start` of their settings: none are needed to know what will be trained.
    """
    own = {key: getattr(config, key) for key in RunConfig.model_fields}
    for settings in _asked(config, outputs):
        if path := (checkpoints or {}).get(settings.start):
            begun = {
                "checkpoint": str(path),
                "checkpoint_hash": paths.file_hash(path / "state.pt"),
                "trained_on": Checkpoint.open(path).about["data"]["spec"],
            }
            settings = settings.model_copy(update=begun)
        yield ClassifierConfig(**own, classifier=settings)


def _asked(config: RunConfig, outputs: Sequence[str]) -> Iterator[ClassifierSettings]:
    kind, asked = registry.load_method(config.name), config.evaluation

    def settings(
        recipe: str, start: str, output: str, measure: str = "", share: float = 1.0
    ) -> ClassifierSettings:
        return ClassifierSettings(
            measure=measure or recipe,
            start=start,
            output=output,
            recipe_name=recipe,
            recipe=recipe_of(kind, recipe, asked),
            share=share,
        )

    if probes_while_augmenting(kind, asked):
        for start in (PRETRAINED, RANDOM) if asked.baselines else (PRETRAINED,):
            for output in asked.outputs or outputs:
                yield settings("linear", start, output)
    for output in asked.finetune:
        yield settings("finetune", PRETRAINED, output)
    for output in asked.scratch:
        yield settings("scratch", SCRATCH, output, "finetune")
    for output, shares in asked.semi.items():
        for share in shares:
            for start in (PRETRAINED, SCRATCH) if asked.baselines else (PRETRAINED,):
                yield settings("semi", start, output, named(share), share)


def named(share: float) -> str:
    """What is measured with that share of the labels: semi1, semi10 and so on."""
    return f"semi{100 * share:g}"


def probes_while_augmenting(kind: type[Method], asked: EvaluationConfig) -> bool:
    """Whether the published linear probe cannot read cached features."""
    if "published" not in asked.linear or "linear" not in kind.recipes():
        return False
    return recipe_of(kind, "linear", asked).augment
