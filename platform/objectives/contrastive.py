"""Contrastive losses against a queue of negatives. Source: LinguoLi/CrosSCLR, net/skeletonclr.py.

Logits and log-softmax are computed in float32 (float64 for float64 input) whatever autocast says:
at temperatures near 0.07 half precision loses the difference between neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


class Contrast(NamedTuple):
    """A loss () and the logits (N, 1 + K) it was made of; column 0 is the positive."""

    loss: Tensor
    logits: Tensor


def unit_vectors(z: Tensor) -> Tensor:
    """Rows of z (N, D) scaled to length 1, in at least float32 also under autocast; 0 stays 0."""
    return functional.normalize(_at_least_float32(z), dim=1)


def info_nce(query: Tensor, key: Tensor, queue: Tensor, temperature: float) -> Contrast:
    """Cross entropy of finding each query's own key among the queue, mean over the batch.

    Args:
        query: (N, D) unit vectors.
        key: (N, D) unit vectors, the positives; no gradient flows into them.
        queue: (K, D) unit vectors, the negatives of all queries; no gradient flows into them.
        temperature: divides the cosines.
    """
    with torch.autocast(query.device.type, enabled=False):
        query, key, queue = (_at_least_float32(x) for x in (query, key.detach(), queue.detach()))
        positive = (query * key).sum(1, keepdim=True)
        logits = torch.cat([positive, query @ queue.T], dim=1) / temperature
        return Contrast(-functional.log_softmax(logits, dim=1)[:, 0].mean(), logits)


def contrast_top1(logits: Tensor) -> Tensor:
    """Percent of the rows of logits (N, 1 + K) whose largest is the positive, in column 0; ()."""
    return 100.0 * (logits.detach().argmax(1) == 0).float().mean()


class Logits:
    """Some columns of a softmax: logits (N, L), and what they add to its denominator."""

    def __init__(self, values: Tensor) -> None:
        self.values = _at_least_float32(values)

    @cached_property
    def normaliser(self) -> Tensor:
        """The logarithm (N,) of the sum of their exponentials: computed once for all softmaxes."""
        return self.values.logsumexp(dim=1)


def multi_positive_nce(logits: Sequence[Logits], positives: Sequence[Tensor]) -> Tensor:
    """Negative mean log-probability of the positives, mean over the batch; a scalar.

    Args:
        logits: side by side, the columns (N, L) of one softmax.
        positives: for each of `logits`, which of its columns (N, P) int64 are positives.
    """
    normaliser = torch.stack([each.normaliser for each in logits]).logsumexp(dim=0)
    both = zip(logits, positives, strict=True)
    chosen = torch.cat([each.values.gather(1, columns) for each, columns in both], dim=1)
    return (normaliser - chosen.mean(dim=1)).mean()


def _at_least_float32(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()
