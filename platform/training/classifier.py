"""The training of a classifier on labels, as a method: the one loop trains, spreads and resumes it.

What is trained is the method's own classifier of an output, by one of its recipes: the head alone
on a frozen encoder whose inputs are augmented, or all of it (fine-tuning).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

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

PHASE = "classifier"
HEAD = "network.head"
_LABEL, _WEIGHT = "classifier/label", "classifier/weight"


class ClassifierTraining(Method):
    """Trains a method's classifier of one output; its features of that output are logits."""

    def __init__(
        self, method: Method, output: str, recipe: EvalRecipe, classes: int | None
    ) -> None:
        """`classes` are those of the data; UsageError where they have none."""
        super().__init__(method.config, replace(method.data, classes=classes))
        if not classes:
            raise UsageError("a classifier needs recordings with labels: the data set names none")
        self.output, self.recipe = output, recipe
        self.outputs = {output: classes}
        self.encoders = ("network",)
        self.network = method.classifier(classes, output, recipe)
        if recipe.head_std is not None:
            head = self.network.get_submodule("head")
            for name, parameter in head.named_parameters():
                std = recipe.head_std if name.endswith("weight") else 0.0
                nn.init.normal_(parameter, std=std)
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
                trainable=(HEAD,) if alone else (),
                eval_mode=tuple(part for part in parts if alone and part != HEAD),
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
