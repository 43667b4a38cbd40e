"""Parts of a protocol as lists of rows over a cache's index; never copies of the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from skelray.platform.dataset import Protocol
from skelray.platform.errors import DataError

Part = Literal["train", "test", "holdout"]


def rows_of(index: Mapping[str, np.ndarray], protocol: Protocol, part: Part) -> np.ndarray:
    """Rows (n,) int64 of a part: `holdout` lies inside `train`.

    DataError where the part is empty.
    """
    train = np.isin(index[protocol.field], sorted(protocol.train))
    held = train & np.isin(index["subject"], sorted(protocol.holdout))
    masks = {"train": train, "test": ~train, "holdout": held}
    rows = np.flatnonzero(masks[part])
    if not len(rows):
        raise DataError(
            f"part {part} of protocol {protocol.name} is empty: no recording has a fitting "
            f"{protocol.field}"
        )
    return rows.astype(np.int64)
