"""Parts of a protocol as lists of rows over a cache's index; never copies of the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Literal

import numpy as np

from skelray.platform.dataset import Protocol
from skelray.platform.errors import DataError, UsageError

Part = Literal["train", "test", "holdout"]

UNKNOWN = -1  # label, subject, camera or setup of a recording that has none
OTHER = -2  # label of a recording whose class the protocol leaves out


def labels_under(label: np.ndarray, classes: Sequence[str], protocol: Protocol) -> np.ndarray:
    """Labels (n,) in the protocol's numbers from those in the order of the data set's `classes`.

    Recordings without a label stay UNKNOWN, those of classes that the protocol leaves out become
    OTHER. UsageError where the protocol names a class that the data set has not.
    """
    if protocol.classes is None:
        return label
    numbers = np.full(len(classes) + 1, OTHER)
    numbers[UNKNOWN] = UNKNOWN  # the last: where an index of -1 leads
    for number, name in enumerate(protocol.classes):
        if name not in classes:
            raise UsageError(f"protocol {protocol.name} names {name!r}, not one of the classes")
        numbers[classes.index(name)] = number
    under: np.ndarray = numbers[label]
    return under


def rows_of(index: Mapping[str, np.ndarray], protocol: Protocol, part: Part) -> np.ndarray:
    """Rows (n,) int64 of a part: `holdout` lies inside `train`.

    Where the protocol has classes of its own, `index["label"]` holds what `labels_under` gives.
    DataError where the part is empty.
    """
    train = _among(index[protocol.field], protocol.train)
    test = ~train
    if protocol.classes is not None:
        ours = index["label"] != OTHER
        train, test = train & ours, test & ours
    if protocol.test is not None:
        test &= _among(index[protocol.field], protocol.test)
    held = train & _among(index[protocol.holdout_field], protocol.holdout)
    masks = {"train": train, "test": test, "holdout": held}
    rows = np.flatnonzero(masks[part])
    if not len(rows):
        raise DataError(
            f"part {part} of protocol {protocol.name} is empty: no recording "
            f"{'of its classes ' if protocol.classes else ''}has a fitting {protocol.field}"
        )
    return rows.astype(np.int64)


def _among(column: np.ndarray, values: Set[int] | Set[str]) -> np.ndarray:
    """Which of `column` (n,) are one of the values."""
    if not values:
        return np.zeros(len(column), dtype=bool)
    among: np.ndarray = np.isin(column, np.array(list(values)))
    return among
