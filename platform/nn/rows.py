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
    return DistinctRows(rows, None) if _each_counts(rows) else _merged(rows, _zero(rows))


def distinct_persons(rows: Tensor, x: Tensor) -> DistinctRows:
    """As `distinct_rows`, of rows (N M, …) made of the samples x (N, …, M) slot by slot of persons.

    Where each slot has weights of its own, absent persons are equal within one: those of the last
    slot, which is empty most often, become one row.
    """
    if _each_counts(x):
        return DistinctRows(rows, None)
    absent = torch.zeros(len(x), x.shape[-1], dtype=torch.bool, device=x.device)
    absent[:, -1] = _zero(x[..., -1])
    return _merged(rows, absent.flatten())


def _zero(rows: Tensor) -> Tensor:
    return ~rows.flatten(1).any(1)


def _each_counts(x: Tensor) -> bool:
    """True where the number of rows may not depend on the values of x."""
    return torch.compiler.is_compiling() or (x.requires_grad and torch.is_grad_enabled())


def _merged(rows: Tensor, equal: Tensor) -> DistinctRows:
    """One row for all that `equal` (R,) bool names."""
    absent = int(equal.sum())
    if absent < 2:
        return DistinctRows(rows, None)
    order = equal.to(torch.int8).argsort(stable=True)  # present ones first
    kept = order[: len(rows) - absent + 1]
    repeats = torch.ones(len(kept), device=rows.device)
    repeats[-1] = absent
    return DistinctRows(rows[kept], repeats, order.argsort())
