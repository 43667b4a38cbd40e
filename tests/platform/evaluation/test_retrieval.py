"""Ranking, groups and spread of features, against scikit-learn and cases made by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from sklearn.metrics.pairwise import cosine_similarity
from torch import Tensor

from skelray.platform.evaluation.clustering import clustering
from skelray.platform.evaluation.labelled import Labelled
from skelray.platform.evaluation.representation import collapsed, representation
from skelray.platform.evaluation.retrieval import retrieval


def labelled(features: Tensor, label: list[int] | Tensor) -> Labelled:
    label = torch.as_tensor(label)
    return Labelled(features=features, label=label, subject=torch.zeros_like(label))


def test_ranking_equals_scikit_learns_average_precision() -> None:
    torch.manual_seed(0)
    train = labelled(torch.randn(200, 5), torch.randint(6, (200,)))
    test = labelled(torch.randn(300, 5), torch.randint(7, (300,)))  # class 6 has no answer
    found = retrieval(train, test, (1, 5))
    similarity = cosine_similarity(test.features, train.features)
    precision, at = [], {1: [], 5: []}
    for row, label in zip(similarity, test.label.tolist(), strict=True):
        relevant = (train.label == label).numpy()
        if relevant.any():
            precision.append(average_precision_score(relevant, row))
            for k, right in at.items():
                right.append(relevant[np.argsort(-row)[:k]].any())
    assert len(precision) < 300
    assert found["map"] == pytest.approx(100 * np.mean(precision))
    assert {k: found[f"r{k}"] for k in at} == {
        k: pytest.approx(100 * np.mean(right)) for k, right in at.items()
    }


def test_one_query_by_hand() -> None:
    """Ranked wrong, right, wrong, right: precisions 1/2 and 2/4."""
    angles = torch.tensor([0.1, 0.2, 0.3, 0.4])
    train = labelled(torch.stack([angles.cos(), angles.sin()], dim=1) * 7, [1, 0, 1, 0])
    test = labelled(torch.tensor([[3.0, 0.0]]), [0])
    assert retrieval(train, test, (1, 2)) == {"map": pytest.approx(50), "r1": 0.0, "r2": 100.0}


def test_groups_that_are_classes_and_groups_that_are_not() -> None:
    torch.manual_seed(0)
    centres = torch.eye(4, 8) * 10
    label = torch.arange(80) % 4
    separate = labelled(centres[label] + 0.1 * torch.randn(80, 8), label)
    assert clustering(separate, 0) == {name: 100.0 for name in ("nmi", "ari", "accuracy")}
    mixed = clustering(labelled(separate.features, torch.arange(80) // 20), 0)
    assert mixed["accuracy"] == 25.0 and abs(mixed["nmi"]) < 1e-6 and mixed["ari"] < 0
    # two of the four are one class: a group holds 20 of its 40, or both and another class's 20
    pairs = labelled(separate.features[label != 3], (label[label != 3] == 2).long())
    assert clustering(pairs, 0)["accuracy"] in (100.0, pytest.approx(200 / 3))


def test_rank_and_spread_of_features() -> None:
    torch.manual_seed(0)
    even = representation(torch.randn(2000, 16))
    assert even["rankme"] == pytest.approx(16, rel=0.01)
    assert even["std"] == pytest.approx(1, abs=0.02)
    # squared distances 2 - 2 cos, of which the cosines have variance 1 / 16: E exp(-4 + 4 cos)
    assert even["uniformity"] == pytest.approx(-4 + 16 / 2 / 16, abs=0.05)
    assert not collapsed(even)

    line = torch.linspace(1, 2, 50)[:, None] * torch.randn(1, 16)
    flat = representation(line)
    assert flat["rankme"] == pytest.approx(1, abs=1e-3)
    assert flat["std"] == pytest.approx(0, abs=1e-6) and flat["uniformity"] == pytest.approx(0)
    assert collapsed(flat)

    plane = torch.zeros(4, 3)
    plane[0, 0], plane[1, 0], plane[2, 1], plane[3, 1] = 2.0, -2.0, 2.0, -2.0
    two = representation(plane)  # two equal singular values; distances 2, 2 and four times root 2
    assert two["rankme"] == pytest.approx(2, rel=1e-4)
    expected = math.log((2 * math.exp(-8) + 4 * math.exp(-4)) / 6)
    assert two["uniformity"] == pytest.approx(expected)
    assert two["std"] == pytest.approx(math.sqrt(3) * (2 * math.sqrt(0.5)) / 3)
