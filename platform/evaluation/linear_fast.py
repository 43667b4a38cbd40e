"""Multinomial logistic regression on frozen features with many learning rates trained at once.

All heads see the same batches, so that a step is one matrix product for all rates together (after
facebookresearch/dinov3, eval/linear.py). The rate is chosen on the holdout part of the training
subjects; the test part is looked at once. Shapes: n recordings, D features, R rates, K classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from skelray.platform.data.order import epoch_permutation
from skelray.platform.errors import DataError
from skelray.platform.evaluation.labelled import (
    ClassifierResult,
    Labelled,
    accuracies,
    moments,
    top_k,
)
from skelray.platform.method import key_of
from skelray.platform.optim import Schedule

RATES = tuple(10.0 ** (step / 2) for step in range(-10, 2))  # 1e-5 to 3.2
BATCH = 128
EPOCHS = 100
STEPS = 3000  # at most: fewer epochs on large sets
MOMENTUM = 0.9
_CHUNK = 4096  # rows whose logits are computed at once


@dataclass(frozen=True, kw_only=True)
class FastLinearResult(ClassifierResult):
    """With the learning rate that was chosen."""

    lr: float
    holdout: dict[float, float]  # learning rate -> top-1 on the holdout part, in percent

    def figures(self) -> dict[str, float]:
        """By name."""
        return {**super().figures(), "lr": self.lr}


def fast_linear(
    train: Labelled, test: Labelled, holdout: Tensor, classes: int, seed: int
) -> FastLinearResult:
    """Chooses the rate on the part of `train` under the mask `holdout` (n,), then trains on all.

    DataError where that part cannot choose: it is empty, all there is, or holds too few classes.
    """
    require_choice(train.label, holdout, classes)
    fitted = _fit(train.where(~holdout), classes, RATES, seed)
    lr, on_holdout = _best_rate(fitted, train.where(holdout))
    logits = _fit(train, classes, (lr,), seed).logits(test.features)[:, 0]
    return FastLinearResult(
        **accuracies(logits, test.label), lr=lr, scores=logits, holdout=on_holdout
    )


def require_choice(label: Tensor, holdout: Tensor, classes: int) -> None:
    """DataError unless the recordings under the mask (n,) can choose a rate for all; label (n,)."""
    needed = min(5, classes)
    found = len(label[holdout].unique())
    if found < needed or bool(holdout.all()):
        raise DataError(
            f"the holdout part has {int(holdout.sum())} of {len(label)} training recordings and "
            f"{found} classes: choosing a learning rate needs recordings of {needed} classes in it "
            "and some outside it; name another holdout in the protocol, or set "
            "evaluation.linear=[logistic]"
        )


@dataclass(frozen=True)
class _Heads:
    """R linear classifiers on standardised features."""

    mean: Tensor  # (D,)
    deviation: Tensor  # (D,)
    weight: Tensor  # (D, R, K)
    bias: Tensor  # (R, K)

    @classmethod
    def zeros(cls, features: Tensor, rates: int, classes: int) -> _Heads:
        """Heads at zero (the problem is convex) that standardise by the moments of `features`."""
        mean, deviation = moments(features)
        weight = torch.zeros(features.shape[1], rates, classes)
        return cls(mean, deviation, weight, torch.zeros(rates, classes))

    def standardised(self, features: Tensor) -> Tensor:
        """(n, D) in units of the training part's deviation."""
        return (features - self.mean) / self.deviation

    def logits(self, features: Tensor) -> Tensor:
        """(n, R, K), for features as they were extracted."""
        return torch.cat([self.forward(self.standardised(x)) for x in features.split(_CHUNK)])

    def forward(self, x: Tensor) -> Tensor:
        """(n, R, K) from standardised features, by one matrix product."""
        return (x @ self.weight.flatten(1)).view(len(x), *self.bias.shape) + self.bias


def _fit(train: Labelled, classes: int, rates: tuple[float, ...], seed: int) -> _Heads:
    """Stochastic gradient descent with momentum and a cosine, all rates on the same batches."""
    heads = _Heads.zeros(train.features, len(rates), classes)
    steps = max(1, len(train) // BATCH)
    epochs = max(1, min(EPOCHS, STEPS // steps))
    cosine = Schedule(name="cosine", per="step")
    scale = torch.tensor(rates)[:, None]
    speeds = torch.zeros_like(heads.weight), torch.zeros_like(heads.bias)
    for epoch in range(epochs):
        order = epoch_permutation(len(train), seed=key_of(seed, "linear_fast"), epoch=epoch)
        for step in range(steps):
            rows = torch.from_numpy(order[step * BATCH : (step + 1) * BATCH])
            x = heads.standardised(train.features[rows])
            lr = scale * cosine.factor(epoch, epochs, step / steps)
            gradients = _gradients(heads, x, one_hot(train.label[rows], classes))
            for value, speed, gradient in zip(
                (heads.weight, heads.bias), speeds, gradients, strict=True
            ):
                speed.mul_(MOMENTUM).add_(gradient)
                value.sub_(lr * speed)
    return heads


def _gradients(heads: _Heads, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Of the mean cross entropy of every head: weight (D, R, K), bias (R, K)."""
    error = (heads.forward(x).softmax(dim=-1) - target[:, None]) / len(x)
    return (x.T @ error.flatten(1)).view_as(heads.weight), error.sum(dim=0)


def _best_rate(heads: _Heads, holdout: Labelled) -> tuple[float, dict[float, float]]:
    """The rate of highest top-1; among equals the one of the smallest cross entropy."""
    logits = heads.logits(holdout.features)
    scores, found = [], {}
    for number, lr in enumerate(RATES):
        own = logits[:, number]
        loss = float(cross_entropy(own, holdout.label))
        found[lr] = top_k(own, holdout.label, 1) if math.isfinite(loss) else 0.0
        scores.append((found[lr], -loss if math.isfinite(loss) else -math.inf, lr))
    return max(scores)[2], found
