"""Linear classification of frozen features by a published recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from skelray.platform.data.order import epoch_permutation
from skelray.platform.errors import UsageError
from skelray.platform.evaluation.labelled import (
    ClassifierResult,
    Labelled,
    accuracies,
    moments,
    top_k,
)
from skelray.platform.method import EvalRecipe, key_of
from skelray.platform.optim import set_rate


@dataclass(frozen=True, kw_only=True)
class LinearResult(ClassifierResult):
    """After the last epoch unless said."""

    top1_best: float  # the largest of the tests during training: selected on the test part

    def figures(self) -> dict[str, float]:
        """By name."""
        return {**super().figures(), "top1_best": self.top1_best}


def published_linear(
    train: Labelled, test: Labelled, classes: int, recipe: EvalRecipe, seed: int
) -> LinearResult:
    """Trains a classifier as `recipe` says; a part smaller than the recipe's batch is one batch.

    Features of several outputs get a linear layer each, and their logits are combined: all layers
    are trained together. UsageError for recipes that need more than constant features.
    """
    _require_constant_features(recipe)
    if recipe.normalise:
        train, test = _standardised(train, test)
    head = _new_head(train.widths or (train.features.shape[1],), classes, recipe, seed)
    optimiser = recipe.optimiser.build([{"params": list(head.parameters())}])
    loss = nn.CrossEntropyLoss(label_smoothing=recipe.smoothing)
    tests = []
    for epoch in range(recipe.epochs):
        batches = _batches(len(train), recipe, seed, epoch)
        for step, rows in enumerate(batches):
            factor = recipe.schedule.factor(epoch, recipe.epochs, step / len(batches))
            set_rate(optimiser, recipe.optimiser.lr * factor)
            optimiser.zero_grad(set_to_none=True)
            loss(head(train.features[rows]), train.label[rows]).backward()
            optimiser.step()
        if (epoch + 1) % recipe.test_every == 0 or epoch + 1 == recipe.epochs:
            with torch.no_grad():
                logits = head(test.features)
            tests.append(top_k(logits, test.label, 1))
    return LinearResult(**accuracies(logits, test.label), top1_best=max(tests), scores=logits)


def _require_constant_features(recipe: EvalRecipe) -> None:
    wrong = {
        "trainable": recipe.trainable != "head",
        "augment": recipe.augment,
    }
    for name, refused in wrong.items():
        if refused:
            raise UsageError(
                f"the linear recipe's {name}={getattr(recipe, name)!r} cannot be followed on "
                "cached features: choose evaluation.linear=[fast]"
            )


def _standardised(train: Labelled, test: Labelled) -> tuple[Labelled, Labelled]:
    mean, deviation = moments(train.features)
    first, second = (replace(p, features=(p.features - mean) / deviation) for p in (train, test))
    return first, second


class _Heads(nn.Module):
    """A linear layer for each output's features; the logits' mean or weighted sum."""

    def __init__(self, widths: Sequence[int], classes: int, recipe: EvalRecipe) -> None:
        super().__init__()
        self.widths = list(widths)
        self.layers = nn.ModuleList(nn.Linear(width, classes) for width in widths)
        for name, parameter in self.named_parameters():
            if recipe.head_std is not None and name.endswith("weight"):
                nn.init.normal_(parameter, std=recipe.head_std)
            elif recipe.head_std is not None:
                nn.init.zeros_(parameter)
        weights = recipe.weights if len(widths) > 1 else ()  # one output is as it is
        self.shares = weights or (1.0,) * len(widths)
        if recipe.combine == "mean_logits":
            self.shares = tuple(share / sum(self.shares) for share in self.shares)

    def forward(self, features: Tensor) -> Tensor:
        """Logits (n, classes) of features (n, ΣD)."""
        parts = zip(self.shares, self.layers, features.split(self.widths, dim=1), strict=True)
        return torch.stack([share * layer(part) for share, layer, part in parts]).sum(dim=0)


def _new_head(widths: Sequence[int], classes: int, recipe: EvalRecipe, seed: int) -> _Heads:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key_of(seed, "linear") & (2**63 - 1))
        return _Heads(widths, classes, recipe)


def _batches(count: int, recipe: EvalRecipe, seed: int, epoch: int) -> list[Tensor]:
    order = torch.from_numpy(epoch_permutation(count, seed=key_of(seed, "linear"), epoch=epoch))
    batches = list(order.split(recipe.batch))
    if recipe.last == "drop" and len(batches) > 1 and len(batches[-1]) < recipe.batch:
        batches.pop()
    return batches
