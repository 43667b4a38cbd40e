"""Parts of a protocol as lists of rows over a cache's index; never copies of the data."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Literal

import numpy as np

from skelray.platform.dataset import Protocol
from skelray.platform.errors import DataError

Part = Literal["train", "test", "holdout"]


def rows_of(index: Mapping[str, np.ndarray], protocol: Protocol, part: Part) -> np.ndarray:
    """Rows (n,) int64 of a part: `holdout` lies inside `train`.

    DataError where the part is empty.
    """
    train = _among(index[protocol.field], protocol.train)
    test = ~train
    if protocol.test is not None:
        test &= _among(index[protocol.field], protocol.test)
    held = train & _among(index[protocol.holdout_field], protocol.holdout)
    masks = {"train": train, "test": test, "holdout": held}
    rows = np.flatnonzero(masks[part])
    if not len(rows):
        raise DataError(
            f"part {part} of protocol {protocol.name} is empty: no recording has a fitting "
            f"{protocol.field}"
        )
    return rows.astype(np.int64)


def _among(column: np.ndarray, values: Set[int] | Set[str]) -> np.ndarray:
    """Which of `column` (n,) are one of the values."""
    if not values:
        return np.zeros(len(column), dtype=bool)
    among: np.ndarray = np.isin(column, np.array(list(values)))
    return among
