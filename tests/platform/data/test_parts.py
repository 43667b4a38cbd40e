"""Parts: train and test share out the recordings, holdout and fit share out train."""

from __future__ import annotations

import numpy as np
import pytest

from skelray.platform.data.parts import rows_of
from skelray.platform.dataset import Protocol
from skelray.platform.errors import DataError

INDEX = {
    "subject": np.array([1, 2, 3, 4, 1, 2, 3, 4, -1]),
    "camera": np.array([1, 1, 1, 1, 2, 2, 2, 2, 1]),
}
XSUB = Protocol("xsub", "subject", train=frozenset({1, 3, 4}), holdout=frozenset({2, 4}))
XVIEW = Protocol("xview", "camera", train=frozenset({2}), holdout=frozenset({2, 3}))


@pytest.mark.parametrize("protocol", [XSUB, XVIEW])
def test_parts_share_out_the_recordings(protocol: Protocol) -> None:
    rows = {part: rows_of(INDEX, protocol, part) for part in ("train", "test", "holdout")}
    assert all(value.dtype == np.int64 for value in rows.values())
    assert sorted([*rows["train"], *rows["test"]]) == list(range(9))
    assert set(rows["holdout"]) <= set(rows["train"])
    held = set(INDEX["subject"][rows["holdout"]])
    rest = np.setdiff1d(rows["train"], rows["holdout"])
    assert held <= protocol.holdout and not held & set(INDEX["subject"][rest])


def test_parts_by_hand() -> None:
    assert list(rows_of(INDEX, XSUB, "train")) == [0, 2, 3, 4, 6, 7]
    assert list(rows_of(INDEX, XSUB, "test")) == [1, 5, 8]  # who is unknown does not train
    assert list(rows_of(INDEX, XSUB, "holdout")) == [3, 7]  # subject 2 does not train
    assert list(rows_of(INDEX, XVIEW, "holdout")) == [5, 6]


def test_an_empty_part_is_named() -> None:
    nobody = Protocol("xsub", "subject", train=frozenset({7}), holdout=frozenset())
    with pytest.raises(DataError, match=r"part train of protocol xsub is empty: .* subject"):
        rows_of(INDEX, nobody, "train")
    with pytest.raises(DataError, match="part holdout of protocol xsub is empty"):
        rows_of(INDEX, nobody, "holdout")
