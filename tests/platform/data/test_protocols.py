"""Splits by name: declared, brought by the files, leave-one-subject-out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from skelray.platform import paths
from skelray.platform.data import store as stores
from skelray.platform.data.parts import rows_of
from skelray.platform.data.protocols import find_protocol
from skelray.platform.data.store import Store
from skelray.platform.errors import UsageError
from tests.platform.data.recordings import Walks, walk

IDS = np.array([f"{number:03d}" for number in range(60)])
INDEX = {"id": IDS, "subject": np.arange(60) % 5, "camera": np.ones(60)}


def make_store(folder: Path, subjects: bool = True) -> Store:
    samples = [walk(number) for number in range(60)]
    if not subjects:
        samples = [replace(sample, subject=None) for sample in samples]
    stores.write_shard(folder / "part-00000.parquet", samples)
    splits = {
        "xview": {"train": ["001"], "test": ["002"]},
        "Half": {"train": IDS[:30].tolist(), "test": IDS[30:50].tolist()},
    }
    paths.write_json(folder / stores.SPLITS, splits)
    return Store(folder, {"shards": [{"file": "part-00000.parquet"}]})


def test_declared_protocols_stay(tmp_path: Path) -> None:
    assert find_protocol(Walks, make_store(tmp_path), "XSUB") is Walks.protocols[0]


def test_leave_one_subject_out(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    protocol = find_protocol(Walks, store, "loso3")
    assert set(INDEX["subject"][rows_of(INDEX, protocol, "test")]) == {3}
    assert set(INDEX["subject"][rows_of(INDEX, protocol, "train")]) == {0, 1, 2, 4}
    assert set(INDEX["subject"][rows_of(INDEX, protocol, "holdout")]) == {0}
    with pytest.raises(UsageError, match="walks has no subject 7, it has 0, 1, 2, 3, 4"):
        find_protocol(Walks, store, "loso7")
    with pytest.raises(UsageError, match="its recordings name no subjects"):
        find_protocol(Walks, make_store(tmp_path, subjects=False), "loso1")


def test_recordings_of_unknown_subjects_are_in_no_part_of_leave_one_out(tmp_path: Path) -> None:
    protocol = find_protocol(Walks, make_store(tmp_path), "loso3")
    index = INDEX | {"subject": np.where(np.arange(60) < 10, -1, INDEX["subject"])}
    assert set(index["subject"][rows_of(index, protocol, "test")]) == {3}
    assert set(index["subject"][rows_of(index, protocol, "train")]) == {0, 1, 2, 4}


def test_a_split_that_is_named_like_an_alias_is_found(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    splits = {"cs": {"train": ["001"], "test": ["002"]}, "xsub": {"train": ["003"], "test": []}}
    paths.write_json(tmp_path / stores.SPLITS, splits)
    assert find_protocol(Walks, store, "CS").train == {"001"}
    assert find_protocol(Walks, store, "cross_subject").train == {"003"}


def test_a_protocols_own_name_comes_before_what_it_is_an_alias_of(tmp_path: Path) -> None:
    xsub, own = Walks.protocols[0], replace(Walks.protocols[0], name="CS")

    class Both(Walks):
        protocols = (xsub, own)

    store = make_store(tmp_path)
    assert find_protocol(Both, store, "cs") is own and Both.protocol("cs") is own
    assert find_protocol(Both, store, "csub") is xsub
    paths.write_json(tmp_path / stores.SPLITS, {"xsub": {"train": ["003"], "test": []}})
    assert find_protocol(Both, store, "cs") is own
    assert find_protocol(Both, store, "csub").train == {"003"}


def test_a_split_by_ids(tmp_path: Path) -> None:
    protocol = find_protocol(Walks, make_store(tmp_path), "half")
    assert protocol.name == "Half"
    assert rows_of(INDEX, protocol, "train").tolist() == list(range(30))
    assert rows_of(INDEX, protocol, "test").tolist() == list(range(30, 50))  # 50 to 59: neither
    assert find_protocol(Walks, make_store(tmp_path), "CV").train == {"001"}
    held = rows_of(INDEX, protocol, "holdout")
    assert 1 <= len(held) <= 12 and set(held) < set(range(30))


def test_an_unknown_name_lists_all(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"no protocol 'xset': choose one of xsub, Half, xview, losoN"
    ):
        find_protocol(Walks, make_store(tmp_path), "xset")
