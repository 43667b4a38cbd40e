"""Variance and covariance of projections over the global batch, against collapse.

Source: Bardes, Ponce, LeCun, "VICReg: Variance-Invariance-Covariance Regularization for
Self-Supervised Learning", ICLR 2022, section 4.1. Shapes: K sets of projections, n rows on this
rank, B on all of them, D the width of a projection.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from skelray.platform.distributed import (
    all_gather_rows,
    mean_over_ranks,
    sum_for_common_loss,
    world_size,
)


class VarianceCovariance(NamedTuple):
    """The two terms of each set, (K,), equal on all ranks."""

    variance: Tensor
    covariance: Tensor


def variance_covariance(z: Tensor, *, epsilon: float = 1e-4) -> VarianceCovariance:
    """How far deviations are below 1, mean over D; squared covariances, their sum divided by D.

    z (K, n, D) are this rank's rows, n the same on all, at least two together. Statistics are in at
    least float32; products of rows are made, and rows sent, in the type of z.

    The covariances of the columns are never made: the squares of Z^T Z, (D, D), have the sum of
    those of Z Z^T, (B, B), which is smaller, and of which each rank makes the n rows that are its
    own. Their gradient needs no row of another rank's but those gathered for it.
    """
    with torch.autocast(z.device.type, enabled=False):
        exact = z.to(torch.promote_types(z.dtype, torch.float32))
        batch = z.shape[1] * world_size()
        # a constant: centred rows add up to 0, which leaves nothing to pass through their mean
        mean = mean_over_ranks(exact.mean(dim=1, keepdim=True))
        centred = (exact - mean) / math.sqrt(batch - 1)
        variance = sum_for_common_loss(centred.square().sum(dim=1))  # (K, D)
        below = (1.0 - (variance + epsilon).sqrt()).relu()
        together = sum_for_common_loss(_squared_products(centred.to(z.dtype)))
        apart = together - variance.square().sum(dim=1)
        return VarianceCovariance(below.mean(dim=1), apart / z.shape[2])


def _squared_products(rows: Tensor) -> Tensor:
    """The squared products of this rank's rows (K, n, D) with those of all ranks, summed: (K,).

    A product is as much its other row's: the gradient is twice that for the own rows alone.
    """
    others = all_gather_rows(rows.detach().transpose(0, 1)).transpose(0, 1)  # (K, B, D)
    products = rows @ others.mT
    total = products.to(torch.promote_types(rows.dtype, torch.float32)).square().sum(dim=(1, 2))
    return 2 * total - total.detach()
