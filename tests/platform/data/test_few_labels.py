"""Which recordings keep their labels: a share of each class, or the list that a data set ships."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from skelray.datasets.nwucla.dataset import NWUCLA
from skelray.platform.data import few_labels as module
from skelray.platform.data.few_labels import few_labels, few_of_each_class, shipped_list
from skelray.platform.data.source import Source
from skelray.platform.data.store import Store
from skelray.platform.errors import DataError

Index = Mapping[str, np.ndarray]


@pytest.fixture
def index() -> Index:
    """Classes of 1, 20, 45 and 300 recordings, mixed."""
    label = np.repeat(np.arange(4), [1, 20, 45, 300])
    order = np.random.default_rng(0).permutation(len(label))
    ids = np.array([f"r{number:03d}" for number in range(len(label))])
    return {"id": ids, "label": label[order]}


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source(NWUCLA, NWUCLA.protocol("xview"), Store(tmp_path, {"data_version": "v1"}))


def counts(index: Index, rows: np.ndarray) -> list[int]:
    return np.bincount(index["label"][rows], minlength=4).tolist()


def test_a_share_of_every_class_and_at_least_one(index: Index) -> None:
    every = np.arange(366)
    assert counts(index, few_of_each_class(index, every, 0.1)) == [1, 2, 4, 30]
    assert counts(index, few_of_each_class(index, every, 0.01)) == [1, 1, 1, 3]
    assert counts(index, few_of_each_class(index, every[index["label"] > 0], 0.01)) == [0, 1, 1, 3]


def test_names_alone_decide(index: Index) -> None:
    """Not their order, nor which other recordings of other classes there are; shares are nested."""
    every = np.arange(366)
    few = set(index["id"][few_of_each_class(index, every, 0.1)])
    other = np.random.default_rng(1).permutation(366)
    mixed = {name: column[other] for name, column in index.items()}
    rows = few_of_each_class(mixed, every, 0.1)
    assert set(mixed["id"][rows]) == few and (np.diff(rows) > 0).all()
    assert set(index["id"][few_of_each_class(index, every, 0.05)]) < few
    assert len({name[:2] for name in few}) > 2, "not the first ones"


def test_a_list_that_is_shipped_holds(
    index: Index, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = np.arange(5, 300)
    expected = few_of_each_class(index, rows, 0.1)
    monkeypatch.setattr(module.inspect, "getfile", lambda _: str(tmp_path / "dataset.py"))
    assert np.array_equal(few_labels(source, index, rows, 0.1), expected)
    file = shipped_list(NWUCLA, "xview", 0.1)
    assert file == tmp_path / "few_labels" / "xview-10.txt"
    file.parent.mkdir()
    file.write_text("r010\nr007\n")
    assert few_labels(source, index, rows, 0.1).tolist() == [7, 10]
    assert np.array_equal(few_labels(source, index, rows, 0.2), few_of_each_class(index, rows, 0.2))
    file.write_text("r010\nr001\nabsent\n")
    with pytest.raises(DataError, match=r"2 of the 3 recordings that .*xview-10.txt .* as absent"):
        few_labels(source, index, rows, 0.1)


@pytest.mark.parametrize("share", [0.01, 0.05, 0.1, 0.2])
def test_nwucla_ships_lists_of_its_training_part(source: Source, share: float) -> None:
    """Ids are action, subject, environment, view: every class, no recording of the third view."""
    names = shipped_list(NWUCLA, "xview", share).read_text().split()
    assert len(names) == len(set(names)) and names == sorted(names)
    assert len({name[:3] for name in names}) == 10
    assert not [name for name in names if name.endswith("v03")]
    smaller = shipped_list(NWUCLA, "xview", 0.01).read_text().split()
    assert set(smaller) <= set(names)
