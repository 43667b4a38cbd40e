"""Rows of a batch that are equal because nothing was recorded: computed once, exactly."""

from __future__ import annotations

import torch
from torch import Tensor


def distinct_rows(rows: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Rows (R, …) with one for all that are zero throughout: absent persons.

    Returns:
        The distinct rows (D, …), how many rows each stands for (D,) float, and the distinct row of
        each given one (R,) int64. Where no two are zero, the rows as they are, None and None: so
        also in graphs that are compiled or exported, whose shapes must not depend on values.
    """
    if torch.compiler.is_compiling():
        return rows, None, None
    present = rows.flatten(1).any(1)
    absent = int((~present).sum())
    if absent < 2:
        return rows, None, None
    place = torch.where(present, present.cumsum(0) - 1, len(rows) - absent)
    kept = torch.cat([present.nonzero()[:, 0], (~present).nonzero()[0]])
    repeats = torch.ones(len(kept), device=rows.device)
    repeats[-1] = absent
    return rows[kept], repeats, place
