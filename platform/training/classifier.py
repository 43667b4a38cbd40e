"""The training of a classifier on labels, as a method: the one loop trains, spreads and resumes it.

What is trained is the method's own classifier of an output, by one of its recipes: the head alone
on a frozen encoder whose inputs are augmented, or all of it (fine-tuning).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional

from skelray.platform import paths, registry
from skelray.platform.config import (
    EvaluationConfig,
    Finetuning,
    FinetuningConfig,
    RunConfig,
    explain,
    keys_of,
    merge,
)
from skelray.platform.distributed import mean_over_ranks
from skelray.platform.errors import UsageError
from skelray.platform.method import (
    Batch,
    Draws,
    EvalRecipe,
    Inputs,
    Method,
    Phase,
    Progress,
    Step,
    Views,
)

PHASE = "finetune"
_LABEL, _WEIGHT = "finetune/label", "finetune/weight"


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


def finetunings(config: RunConfig, checkpoint: Path | None = None) -> Iterator[FinetuningConfig]:
    """The trainings that `config.evaluation` asks for; UsageError for what the method lacks.

    Those of `evaluation.finetune` begin with the weights of `checkpoint`, where there is one yet.
    """
    kind = registry.load_method(config.name)
    for name in ("finetune", "scratch"):
        outputs: tuple[str, ...] = getattr(config.evaluation, name)
        given = {}
        if outputs and name == "finetune" and checkpoint is not None:
            digest = paths.file_hash(checkpoint / "state.pt")
            given = {"checkpoint": str(checkpoint), "checkpoint_hash": digest}
        for output in outputs:
            recipe = recipe_of(kind, name, config.evaluation)
            own = {key: getattr(config, key) for key in RunConfig.model_fields}
            tuning = Finetuning(output=output, recipe=recipe, **given)
            yield FinetuningConfig(**own, finetuning=tuning)


class ClassifierTraining(Method):
    """Trains a method's classifier of one output; its features of that output are logits."""

    def __init__(self, method: Method, output: str, recipe: EvalRecipe) -> None:
        """UsageError where the data have no classes."""
        super().__init__(method.config, method.data)
        if not method.data.classes:
            raise UsageError("a classifier needs recordings with labels: the data set names none")
        self.output, self.recipe = output, recipe
        self.outputs = {output: method.data.classes}
        self.encoders = ("network",)
        self.network = method.classifier(method.data.classes, output, recipe)
        self._method = (method,)  # no part of this module: it is asked for inputs and views alone

    def inputs(self, use: str) -> Inputs:
        """Those of the output; for training, those that the output is augmented from."""
        method = self._method[0]
        if use == PHASE and self.recipe.augment:
            return method.training_inputs(self.output)
        return method.inputs(self.output)

    def phases(self) -> Sequence[Phase]:
        """The one that the recipe describes."""
        recipe, alone = self.recipe, self.recipe.trainable == "head"
        parts = [f"network.{name}" for name, _ in self.network.named_children()]
        return [
            Phase(
                name=PHASE,
                epochs=recipe.epochs,
                batch=recipe.batch,
                last="drop" if recipe.last == "drop" else "pad",
                labels=True,
                trainable=("network.head",) if alone else (),
                eval_mode=tuple(part for part in parts if alone and part != "network.head"),
                optimiser=recipe.optimiser,
                schedule=recipe.schedule,
                precision=recipe.precision,
            )
        ]

    def parameter_groups(self, phase: Phase) -> list[dict[str, Any]]:
        """A group for each layer of the classifier; rates fall with the distance from the top.

        Source: Clark et al., "ELECTRA", ICLR 2020; maoyunyao/MAMP, util/lr_decay.py.
        """
        layers, groups = self.network.layers, dict[int, list[Tensor]]()
        for name, parameter in self.network.named_parameters():
            if parameter.requires_grad:
                groups.setdefault(self.network.layer(name), []).append(parameter)
        return [
            {"params": groups[layer], "lr_scale": self.recipe.layer_decay ** (layers - layer)}
            for layer in sorted(groups)
        ]

    def views(self, batch: Batch, draws: Draws, progress: Progress) -> Views:
        """Those of the evaluation, augmented where the recipe says so, and the labels."""
        assert batch.label is not None
        weight = (batch.label >= 0).float()
        if batch.clip_ok is not None:  # pictures that could not be read teach nothing
            weight = weight * batch.clip_ok
        drawn = draws if self.recipe.augment else None
        views = self._method[0].eval_views(batch, self.output, drawn)
        return {**views, _LABEL: batch.label.clamp(min=0), _WEIGHT: weight}

    def forward(self, views: Views, progress: Progress) -> Step:
        """The mean cross-entropy, with label smoothing; the share of the batch that is right."""
        label, weight = views[_LABEL], views[_WEIGHT]
        logits = self.network(_without_labels(views)).float()
        losses = functional.cross_entropy(
            logits, label, label_smoothing=self.recipe.smoothing, reduction="none"
        )
        right = (logits.argmax(dim=1) == label).float()
        # of the global batch: the ranks' gradients are averaged, whatever each could read
        total = mean_over_ranks(weight.sum()).clamp(min=1e-6)
        loss, top1 = ((weight * each).sum() / total for each in (losses, right))
        return Step(loss=loss, figures={"top1": 100 * top1})

    def eval_views(self, batch: Batch, output: str, draws: Draws | None = None) -> Views:
        """Those of the method."""
        return self._method[0].eval_views(batch, output, draws)

    def features(self, views: Views, names: Sequence[str]) -> dict[str, Tensor]:
        """Logits (N, classes)."""
        return dict.fromkeys(names, self.network(views))


def _without_labels(views: Views) -> Views:
    return {name: view for name, view in views.items() if name not in (_LABEL, _WEIGHT)}
