"""Contrastive losses against a queue of negatives. Source: LinguoLi/CrosSCLR, net/skeletonclr.py.

Logits and log-softmax are computed in float32 (float64 for float64 input) whatever autocast says:
at temperatures near 0.07 half precision loses the difference between neighbours.
"""

from __future__ import annotations

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


def multi_positive_nce(logits: Tensor, positives: Tensor) -> Tensor:
    """Negative mean log-probability of the positives, mean over the batch; a scalar.

    Args:
        logits: (N, L).
        positives: (N, L) bool, at least one in each row.
    """
    log_probability = functional.log_softmax(_at_least_float32(logits), dim=1)
    total = torch.where(positives, log_probability, 0).sum(1)
    return -(total / positives.sum(1)).mean()


def _at_least_float32(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()
