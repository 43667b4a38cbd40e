"""Nearest neighbours against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score
from sklearn.neighbors import KNeighborsClassifier

from skelray.platform.errors import DataError
from skelray.platform.evaluation.knn import knn, nearest, vote
from skelray.platform.evaluation.labelled import Labelled


def part(n: int, seed: int, classes: int = 2) -> Labelled:
    rng = np.random.default_rng(seed)
    label = rng.integers(classes, size=n)
    features = rng.normal(size=(n, 8)) + 0.7 * np.eye(8)[label]
    return Labelled(
        features=torch.tensor(features, dtype=torch.float32),
        label=torch.tensor(label),
        subject=torch.zeros(n, dtype=torch.int64),
    )


def test_equals_scikit_learn_on_data_without_ties() -> None:
    train, test = part(300, 1), part(200, 2)
    figures = knn(train, test, (1, 19))  # two classes and an odd k: no ties
    for k, found in figures.items():
        reference = KNeighborsClassifier(k, metric="cosine", algorithm="brute")
        reference.fit(train.features.numpy(), train.label.numpy())
        expected = 100 * reference.score(test.features.numpy(), test.label.numpy())
        assert found["top1"] == pytest.approx(expected)
        predicted = reference.predict(test.features.numpy())
        balanced = balanced_accuracy_score(test.label.numpy(), predicted)
        assert found["mean_class"] == pytest.approx(100 * balanced)


def test_neighbours_equal_a_full_sort_whatever_the_blocks() -> None:
    train, test = part(157, 3).features, part(61, 4).features
    a = train.double() / train.double().norm(dim=1, keepdim=True)
    b = test.double() / test.double().norm(dim=1, keepdim=True)
    similarity, order = (b @ a.T).sort(dim=1, descending=True)
    for blocks in ((1024, 16384), (7, 10), (61, 3)):
        found = nearest(train, test, 20, test_block=blocks[0], train_block=blocks[1])
        assert torch.equal(found.index, order[:, :20])
        torch.testing.assert_close(found.similarity.double(), similarity[:, :20], atol=1e-6, rtol=0)


def test_length_of_a_feature_does_not_matter_and_zeros_are_near_nothing() -> None:
    train = torch.tensor([[10.0, 1.0], [0.1, 0.0], [0.0, 5.0], [0.0, 0.0]])
    found = nearest(train, torch.tensor([[1.0, 0.0]]), 4)
    assert found.index[0, :2].tolist() == [1, 0]
    assert found.similarity[0].tolist() == pytest.approx([1.0, 10 / 101**0.5, 0.0, 0.0])


def test_a_tie_goes_to_the_class_with_the_nearest_neighbour() -> None:
    labels = torch.tensor([[2, 1, 1, 2, 0], [0, 1, 1, 2, 2], [3, 1, 0, 2, 4], [5, 5, 5, 0, 0]])
    assert vote(labels).tolist() == [2, 1, 3, 5]
    assert vote(labels[:, :1]).tolist() == [2, 0, 3, 5]


def test_too_few_neighbours_are_an_error() -> None:
    with pytest.raises(DataError, match="5 neighbours were asked for among 3"):
        knn(part(3, 1), part(4, 2), (1, 5))
