"""How high recordings of the same action stand when the training part is ranked by similarity."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

from skelray.platform.evaluation.labelled import Labelled

_BLOCK = 256  # queries that are ranked at a time


def retrieval(train: Labelled, test: Labelled, ks: Sequence[int]) -> dict[str, float]:
    """`map` and `r<k>` in percent: the test part asks, the training part is ranked by cosine.

    `map` is the mean over the queries of the average precision, `r<k>` the share of queries of
    which one of the k most similar has their class (Musgrave et al., "A Metric Learning Reality
    Check", ECCV 2020: precision at 1 is r1, the accuracy of the nearest neighbour). Queries whose
    class is not in the training part cannot be answered and do not count.
    """
    asked = test.where(torch.isin(test.label, train.label))
    gallery, queries = normalize(train.features, dim=1), normalize(asked.features, dim=1)
    precision, first = [], []
    for query, label in zip(queries.split(_BLOCK), asked.label.split(_BLOCK), strict=True):
        order = (query @ gallery.T).argsort(dim=1, descending=True, stable=True)
        relevant = train.label[order] == label[:, None]
        precision.append(_average_precision(relevant))
        first.append(relevant.to(torch.uint8).argmax(dim=1))
    place = torch.cat(first)
    found = {f"r{k}": 100.0 * float((place < k).double().mean()) for k in ks}
    return {"map": 100.0 * float(torch.cat(precision).mean()), **found}


def _average_precision(relevant: Tensor) -> Tensor:
    """(n,) float64, of rows of ranked answers (n, m), at least one of each row relevant."""
    hits = relevant.cumsum(dim=1)
    rank = torch.arange(1, relevant.shape[1] + 1)
    return (hits.double() / rank * relevant).sum(dim=1) / hits[:, -1]
