"""The linear probes against NumPy and scikit-learn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score

from skelray.platform.data.order import epoch_permutation
from skelray.platform.errors import DataError, UsageError
from skelray.platform.evaluation import linear
from skelray.platform.evaluation.labelled import (
    ClassifierResult,
    Labelled,
    mean_class,
    moments,
    top_k,
)
from skelray.platform.evaluation.linear import published_linear
from skelray.platform.evaluation.linear_fast import RATES, fast_linear
from skelray.platform.evaluation.logistic import logistic_regression
from skelray.platform.method import EvalRecipe, key_of
from skelray.platform.optim import Optimiser, Schedule


def gaussians(n: int, classes: int, dimension: int, spread: float, seed: int) -> Labelled:
    centres = np.random.default_rng(0).normal(size=(classes, dimension))
    rng = np.random.default_rng(seed)
    label = rng.integers(classes, size=n)
    features = centres[label] + spread * rng.normal(size=(n, dimension))
    return Labelled(
        features=torch.tensor(features, dtype=torch.float32),
        label=torch.tensor(label),
        subject=torch.tensor(rng.integers(5, size=n)),
    )


RECIPE = EvalRecipe(
    optimiser=Optimiser(lr=0.5, momentum=0.9),
    schedule=Schedule(name="steps", milestones=(4,)),
    epochs=6,
    batch=32,
    test_every=2,
)


def slow_published(
    train: Labelled, test: Labelled, seed: int, shares: tuple[float, ...] = (1.0,)
) -> np.ndarray:
    """RECIPE in NumPy, float64: the logits of the test part after the last epoch.

    Outputs of equal width have a layer each; `shares` are what their logits are multiplied by.
    """
    width = train.features.shape[1] // len(shares)
    head = linear._new_head((width,) * len(shares), 7, RECIPE, seed)
    weight = np.concatenate([layer.weight.detach().double().numpy().T for layer in head.layers])
    bias = np.stack([layer.bias.detach().double().numpy() for layer in head.layers])
    x, y = train.features.double().numpy(), train.label.numpy()
    share = np.repeat(shares, width)
    speed_weight, speed_bias = np.zeros_like(weight), np.zeros_like(bias)
    for epoch in range(6):
        order = epoch_permutation(len(x), seed=key_of(seed, "linear"), epoch=epoch)
        rate = 0.5 if epoch < 4 else 0.05
        for start in range(0, len(x) // 32 * 32, 32):
            rows = order[start : start + 32]
            logits = (x[rows] * share) @ weight + np.array(shares) @ bias
            likely = np.exp(logits - logits.max(axis=1, keepdims=True))
            likely /= likely.sum(axis=1, keepdims=True)
            error = (likely - np.eye(7)[y[rows]]) / 32
            speed_weight = 0.9 * speed_weight + (x[rows] * share).T @ error
            speed_bias = 0.9 * speed_bias + np.outer(shares, error.sum(axis=0))
            weight, bias = weight - rate * speed_weight, bias - rate * speed_bias
    return (test.features.double().numpy() * share) @ weight + np.array(shares) @ bias


def test_the_mean_over_classes_by_hand() -> None:
    label = torch.tensor([0, 0, 0, 0, 3, 3, 5])  # classes 1, 2 and 4 do not occur
    predicted = torch.tensor([0, 0, 0, 1, 3, 4, 2])
    assert mean_class(predicted, label) == pytest.approx(100 * (3 / 4 + 1 / 2 + 0) / 3)
    assert mean_class(label, label) == 100.0


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_every_probe_gives_the_mean_over_classes_of_its_predictions() -> None:
    train, test = gaussians(300, 6, 10, 2.5, seed=1), gaussians(200, 6, 10, 2.5, seed=2)
    rare = torch.arange(200) % 9 == 0  # of most classes only a few are left
    test = test.where((test.label < 2) | ((test.label < 5) & rare))
    results: list[ClassifierResult] = [
        published_linear(train, test, 6, RECIPE, seed=0),
        fast_linear(train, test, train.subject == 0, 6, seed=0),
        logistic_regression(train, test, 6),
    ]
    for result in results:
        expected = balanced_accuracy_score(test.label.numpy(), result.scores.argmax(1).numpy())
        figures = result.figures()
        assert figures["mean_class"] == pytest.approx(100 * expected)
        assert abs(figures["mean_class"] - figures["top1"]) > 1


def test_published_recipe_equals_a_plain_loop() -> None:
    train, test = gaussians(150, 7, 12, 1.5, seed=1), gaussians(90, 7, 12, 1.5, seed=2)
    result = published_linear(train, test, 7, RECIPE, seed=3)
    logits = torch.tensor(slow_published(train, test, seed=3))
    assert torch.equal(result.scores.argmax(1), logits.argmax(1))
    assert result.top1 == top_k(logits, test.label, 1)
    assert result.top5 == top_k(logits, test.label, 5)
    assert result.top1_best >= result.top1
    assert 30 < result.top1 < result.top5 <= 100
    assert published_linear(train, test, 7, RECIPE, seed=3).figures() == result.figures()


@pytest.mark.parametrize(
    ("update", "shares"),
    [
        ({"combine": "mean_logits"}, (0.5, 0.5)),
        ({"combine": "mean_logits", "weights": (3.0, 1.0)}, (0.75, 0.25)),
        ({"combine": "sum_logits", "weights": (0.6, 0.4)}, (0.6, 0.4)),
    ],
)
def test_outputs_with_a_layer_each_are_trained_together(
    update: dict[str, Any], shares: tuple[float, ...]
) -> None:
    train, test = (
        replace(gaussians(n, 7, 12, 1.5, seed=seed), widths=(6, 6))
        for seed, n in ((1, 150), (2, 90))
    )
    result = published_linear(train, test, 7, RECIPE.model_copy(update=update), seed=3)
    logits = torch.tensor(slow_published(train, test, seed=3, shares=shares))
    assert torch.equal(result.scores.argmax(1), logits.argmax(1))
    alone = published_linear(train, test, 7, RECIPE, seed=3)
    assert not torch.equal(alone.scores.argmax(1), result.scores.argmax(1))


def test_published_head_starts_as_published() -> None:
    (layer,) = linear._new_head((400,), 60, RECIPE, seed=0).layers
    assert layer.bias.abs().max() == 0
    assert float(layer.weight.detach().std()) == pytest.approx(0.02, rel=0.02)


def test_incomplete_batches_are_dropped_unless_there_is_no_other() -> None:
    assert [len(b) for b in linear._batches(150, RECIPE, 0, 0)] == [32] * 4
    assert [len(b) for b in linear._batches(20, RECIPE, 0, 0)] == [20]
    keep = RECIPE.model_copy(update={"last": "keep"})
    assert [len(b) for b in linear._batches(150, keep, 0, 0)] == [32] * 4 + [22]


def test_recipes_that_need_more_than_features_are_refused() -> None:
    part = gaussians(40, 5, 4, 1.0, seed=1)
    for update in ({"trainable": "all"}, {"augment": True}):
        with pytest.raises(UsageError, match=next(iter(update))):
            published_linear(part, part, 5, RECIPE.model_copy(update=update), seed=0)


def test_fast_recipe_reaches_logistic_regression() -> None:
    scale = torch.tensor([10.0 ** (i % 5 - 2) for i in range(20)])  # features of unlike units
    train, test = gaussians(1200, 6, 20, 2.5, seed=1), gaussians(1000, 6, 20, 2.5, seed=2)
    train, test = (
        Labelled(features=p.features * scale + 3, label=p.label, subject=p.subject)
        for p in (train, test)
    )
    result = fast_linear(train, test, train.subject == 0, 6, seed=0)
    mean, deviation = moments(train.features)
    x, y = ((p.features - mean) / deviation for p in (train, test))
    reference = LogisticRegression(max_iter=1000).fit(x.numpy(), train.label.numpy())
    expected = 100 * reference.score(y.numpy(), test.label.numpy())
    assert 40 < expected < 95
    assert result.top1 == pytest.approx(expected, abs=1.5)
    assert result.lr in RATES
    assert result.holdout[result.lr] == max(result.holdout.values())
    assert fast_linear(train, test, train.subject == 0, 6, seed=0).figures() == result.figures()


def test_fast_recipe_never_chooses_on_the_test_part() -> None:
    train, test = gaussians(300, 6, 10, 2.0, seed=1), gaussians(200, 6, 10, 2.0, seed=2)
    shuffled = Labelled(features=test.features, label=test.label.flip(0), subject=test.subject)
    first = fast_linear(train, test, train.subject == 0, 6, seed=0)
    second = fast_linear(train, shuffled, train.subject == 0, 6, seed=0)
    assert (first.lr, first.holdout) == (second.lr, second.holdout)
    assert first.top1 > second.top1 + 20


def test_fast_recipe_survives_more_features_than_recordings_and_a_constant_one() -> None:
    train, test = gaussians(200, 5, 400, 4.0, seed=1), gaussians(200, 5, 400, 4.0, seed=2)
    train.features[:, 3], test.features[:, 3] = 1.0, 1.0
    result = fast_linear(train, test, train.subject == 0, 5, seed=0)
    assert result.top1 > 60


def test_fast_recipe_refuses_a_holdout_that_cannot_choose() -> None:
    train = gaussians(100, 6, 4, 1.0, seed=1)
    for mask in (train.subject == 99, train.label < 3, train.subject >= 0):
        with pytest.raises(DataError, match="holdout part has"):
            fast_linear(train, train, mask, 6, seed=0)


def test_logistic_regression_solves_the_problem_and_never_names_an_absent_class() -> None:
    train, test = gaussians(400, 4, 6, 0.5, seed=1), gaussians(200, 4, 6, 0.5, seed=2)
    train = train.where(train.label != 2)
    result = logistic_regression(train, test, classes=4)
    mean, deviation = moments(train.features)
    reference = LogisticRegression(max_iter=2000).fit(
        ((train.features - mean) / deviation).numpy(), train.label.numpy()
    )
    expected = reference.predict(((test.features - mean) / deviation).numpy())
    assert np.array_equal(result.scores.argmax(1).numpy(), expected)
    assert result.top1 == pytest.approx(100 * np.mean(expected == test.label.numpy()))
    assert 2 not in result.scores.argmax(1)
    known = 100 * float((test.label != 2).double().mean())
    assert 0.9 * known < result.top1 <= known
    assert result.top5 == 100.0
