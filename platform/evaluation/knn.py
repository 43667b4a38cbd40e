"""Exact nearest neighbours by cosine similarity, in blocks: memory does not grow with the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from skelray.platform.errors import DataError
from skelray.platform.evaluation.labelled import Labelled, mean_class


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """The k most similar training recordings of n test recordings, nearest first."""

    similarity: Tensor  # (n, k) float32: cosine; 0 for features that are all zero
    index: Tensor  # (n, k) int64: rows of the training part


def nearest(
    train: Tensor, test: Tensor, k: int, *, test_block: int = 1024, train_block: int = 4096
) -> Neighbours:
    """Neighbours in `train` (m, D) of each row of `test` (n, D); DataError where m < k.

    At most test_block x train_block similarities exist at a time. The order of equally similar ones
    is not specified.
    """
    if len(train) < k:
        raise DataError(
            f"{k} neighbours were asked for among {len(train)} training recordings: "
            "lower evaluation.knn"
        )
    bank, queries = normalize(train, dim=1), normalize(test, dim=1)
    found = [_nearest_of_block(bank, block, k, train_block) for block in queries.split(test_block)]
    similarity, index = (torch.cat(pieces) for pieces in zip(*found, strict=True))
    return Neighbours(similarity=similarity, index=index)


def _nearest_of_block(
    bank: Tensor, queries: Tensor, k: int, train_block: int
) -> tuple[Tensor, Tensor]:
    """The best of each block of unit rows, then the best of these."""
    found = []
    for start in range(0, len(bank), train_block):
        block = bank[start : start + train_block]
        similarity, index = (queries @ block.T).topk(min(k, len(block)), dim=1)
        found.append((similarity, index + start))
    similarity, index = (torch.cat(pieces, dim=1) for pieces in zip(*found, strict=True))
    similarity, chosen = similarity.topk(k, dim=1)
    return similarity, index.gather(1, chosen)


def vote(labels: Tensor) -> Tensor:
    """The most frequent of each row of neighbours' labels (n, k), nearest first -> (n,).

    Among classes with equally many votes wins the one whose nearest member is nearest.
    """
    k = labels.shape[1]
    counts = torch.zeros(len(labels), int(labels.max()) + 1, dtype=torch.int64)
    counts.scatter_add_(1, labels, torch.ones_like(labels))
    votes = counts.gather(1, labels)  # of each neighbour's own class
    rank = torch.arange(k)
    winner = (votes * k - rank).argmax(dim=1, keepdim=True)
    return labels.gather(1, winner)[:, 0]


def knn(train: Labelled, test: Labelled, ks: Sequence[int]) -> dict[int, dict[str, float]]:
    """`top1` and `mean_class` in percent for each k, from one search."""
    neighbours = nearest(train.features, test.features, max(ks))
    labels = train.label[neighbours.index]
    figures = {}
    for k in ks:
        predicted = vote(labels[:, :k])
        right = (predicted == test.label).double()
        top1 = 100.0 * float(right.mean())
        figures[k] = {"top1": top1, "mean_class": mean_class(predicted, test.label)}
    return figures
