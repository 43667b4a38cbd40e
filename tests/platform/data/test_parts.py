"""Parts: train and test share out the recordings, holdout and fit share out train."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from skelray.platform.data.parts import OTHER, UNKNOWN, labels_under, rows_of
from skelray.platform.dataset import Protocol
from skelray.platform.errors import DataError, UsageError

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


CLASSES = ("cook", "drink", "eat", "walk")
FEWER = Protocol(
    "xsub",
    "subject",
    train=frozenset({1, 3}),
    holdout=frozenset({3}),
    classes=("walk", "drink"),
)


def test_labels_get_the_protocols_numbers() -> None:
    label = np.array([3, 1, 0, UNKNOWN, 2, 1])
    assert labels_under(label, CLASSES, FEWER).tolist() == [0, 1, OTHER, UNKNOWN, OTHER, 1]
    assert labels_under(label, CLASSES, XSUB) is label
    wrong = replace(FEWER, classes=("walk", "run"))
    with pytest.raises(UsageError, match="protocol xsub names 'run', not one of the classes"):
        labels_under(label, CLASSES, wrong)


def test_recordings_of_other_classes_take_no_part() -> None:
    label = np.array([0, 1, 2, 3, 1, 3, 3, 0, UNKNOWN])
    index = INDEX | {"label": labels_under(label, CLASSES, FEWER)}
    assert list(rows_of(index, FEWER, "train")) == [4, 6]  # 0 and 2 are of other classes
    assert list(rows_of(index, FEWER, "holdout")) == [6]
    assert list(rows_of(index, FEWER, "test")) == [1, 3, 5, 8]  # who is unlabelled may belong
    nothing = replace(FEWER, train=frozenset({9}))
    with pytest.raises(DataError, match="no recording of its classes has a fitting subject"):
        rows_of(index, nothing, "train")
