"""Rows of a batch that are equal because nothing was recorded: computed once, exactly."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class DistinctRows:
    """Rows (D, …) that stand for R given ones; the last for all that are zero throughout."""

    rows: Tensor
    repeats: Tensor | None  # (D,) float: how many each stands for; None: one
    place: Tensor | None = None  # (R,) int64: of each given row among present, then absent ones

    def spread(self, features: Tensor) -> Tensor:
        """Features (D, …) of the rows, for each given row (R, …)."""
        if self.repeats is None or self.place is None:
            return features
        absent = len(self.place) - len(features) + 1
        # repeated by `expand`, whose backward sums in a fixed order; that of an index that
        # occurs several times does not on several threads
        every = torch.cat([features[:-1], features[-1:].expand(absent, *features.shape[1:])])
        return every[self.place]


def distinct_rows(rows: Tensor) -> DistinctRows:
    """One row for all of `rows` (R, …) that are zero throughout: absent persons.

    The rows as they are where less than two are zero, where a gradient is to reach each of them,
    and in graphs that are compiled or exported, whose shapes must not depend on values.
    """
    if torch.compiler.is_compiling() or (rows.requires_grad and torch.is_grad_enabled()):
        return DistinctRows(rows, None)
    zero = ~rows.flatten(1).any(1)
    absent = int(zero.sum())
    if absent < 2:
        return DistinctRows(rows, None)
    order = zero.to(torch.int8).argsort(stable=True)  # present ones first
    kept = order[: len(rows) - absent + 1]
    repeats = torch.ones(len(kept), device=rows.device)
    repeats[-1] = absent
    return DistinctRows(rows[kept], repeats, order.argsort())
