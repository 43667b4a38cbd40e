"""Annotation pickles written from a store: what pyskl reads, checked on the pickle itself."""

from __future__ import annotations

import pickle
import pickletools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from skelray.platform import cli, paths, registry
from skelray.platform.data import store as stores
from skelray.platform.data.annotations import annotation_of, write_annotations
from skelray.platform.data.store import Store
from skelray.platform.dataset import SkeletonSample
from skelray.platform.errors import DataError, UsageError
from tests.platform.data.recordings import Walks, walk


def make_store(folder: Path, samples: list[SkeletonSample]) -> Store:
    """A store of two shards with a split of its own."""
    names = ["part-00000.parquet", "part-00001.parquet"]
    for name, part in zip(names, (samples[:5], samples[5:]), strict=True):
        stores.write_shard(folder / name, part)
    splits = {"half": {"train": [s.id for s in samples[::2]], "test": [samples[1].id]}}
    paths.write_json(folder / stores.SPLITS, splits)
    return Store(folder, {"shards": [{"file": name} for name in names]})


def by_place(sample: SkeletonSample) -> SkeletonSample:
    """Without ids, so that a person is a place in the frame's list."""
    return replace(sample, body_id=None)


def expected(sample: SkeletonSample, values: np.ndarray, persons: list[int]) -> np.ndarray:
    """(M, T, …) body by body."""
    array = np.zeros((len(set(persons)), sample.frames, *values.shape[1:]), dtype=values.dtype)
    body = 0
    for frame, bodies in enumerate(sample.frame_bodies):
        for _ in range(bodies):
            array[persons[body], frame] = values[body]
            body += 1
    return array


def load(path: Path) -> Any:
    """As pyskl does: by the standard library."""
    return pickle.loads(path.read_bytes())


def test_what_pyskl_reads(tmp_path: Path) -> None:
    samples = [by_place(walk(number)) for number in range(8)]
    samples[2] = replace(samples[2], label=None, score=None, height=480, width=640)
    written = write_annotations(make_store(tmp_path, samples), Walks, tmp_path / "new/walks.pkl")
    content = load(tmp_path / "new/walks.pkl")
    assert [a["frame_dir"] for a in content["annotations"]] == [s.id for s in samples]
    assert written.annotations == 8 and written.skipped == {}
    for sample, annotation in zip(samples, content["annotations"], strict=True):
        places = [place for bodies in sample.frame_bodies for place in range(bodies)]
        np.testing.assert_array_equal(
            annotation["keypoint"], expected(sample, sample.xyz, places), strict=True
        )
        assert annotation["total_frames"] == sample.frames
        assert annotation.get("label") == sample.label
        if sample.score is not None:
            np.testing.assert_array_equal(
                annotation["keypoint_score"], expected(sample, sample.score, places), strict=True
            )
    assert "label" not in content["annotations"][2]
    assert "keypoint_score" not in content["annotations"][2]
    assert content["annotations"][2]["img_shape"] == (480, 640)
    assert content["annotations"][2]["original_shape"] == (480, 640)
    assert "img_shape" not in content["annotations"][1]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["walks.pkl"]


def test_splits_are_lists_of_ids(tmp_path: Path) -> None:
    store = make_store(tmp_path, [by_place(walk(number)) for number in range(8)])
    written = write_annotations(store, Walks, tmp_path / "all.pkl")
    assert load(tmp_path / "all.pkl")["split"] == written.split == {
        "xsub_train": ["000", "001", "002", "005", "006", "007"],  # subjects 0, 1, 2 of 5
        "xsub_val": ["003", "004"],
        "half_train": ["000", "002", "004", "006"],
        "half_val": ["001"],
    }  # fmt: skip
    write_annotations(store, Walks, tmp_path / "one.pkl", ["XSUB", "loso4"])
    split = load(tmp_path / "one.pkl")["split"]
    assert list(split) == ["xsub_train", "xsub_val", "loso4_train", "loso4_val"]
    assert split["loso4_val"] == ["004"]
    few = make_store(tmp_path, [by_place(walk(number)) for number in range(3)])
    assert write_annotations(few, Walks, tmp_path / "few.pkl").split["xsub_val"] == []


def test_a_person_is_an_id() -> None:
    """Ids 70, 7, 70 over three frames: person 0 is 7, person 1 is 70, wherever they stand."""
    sample = SkeletonSample(
        id="a",
        frame_bodies=np.array([1, 2, 1], np.int32),
        xyz=walk(1).xyz[:4],
        body_id=np.array([70, 7, 70, 70]),
    )
    keypoint = annotation_of(sample)["keypoint"]
    np.testing.assert_array_equal(keypoint, expected(sample, sample.xyz, [1, 0, 1, 1]), strict=True)


def test_the_same_person_twice_in_a_frame_is_left_out(tmp_path: Path) -> None:
    samples = [by_place(walk(number)) for number in range(7)]
    twice = SkeletonSample(
        id="twice",
        frame_bodies=np.array([1, 2], np.int32),
        xyz=walk(1).xyz[:3],
        body_id=np.array([5, 5, 5]),
        subject=3,
    )
    written = write_annotations(
        make_store(tmp_path, [*samples, twice]), Walks, tmp_path / "walks.pkl"
    )
    assert written.annotations == 7
    assert written.skipped == {"twice": "twice: frame 1 holds bodies of the same id"}
    assert written.split["xsub_val"] == ["003", "004"]


def test_float16_where_it_is_exact() -> None:
    sample = by_place(walk(1))
    assert annotation_of(sample)["keypoint"].dtype == np.float32
    half = replace(sample, xyz=sample.xyz.astype(np.float16).astype(np.float32))
    assert annotation_of(half)["keypoint"].dtype == np.float16
    np.testing.assert_array_equal(annotation_of(half)["keypoint"][0, 0], half.xyz[0])
    large = replace(sample, xyz=np.full_like(sample.xyz, 1e6))
    assert annotation_of(large)["keypoint"].dtype == np.float32


def test_numpy_1_finds_the_names(tmp_path: Path) -> None:
    store = make_store(tmp_path, [by_place(walk(number)) for number in range(6)])
    write_annotations(store, Walks, tmp_path / "walks.pkl")
    content = (tmp_path / "walks.pkl").read_bytes()
    names = [argument for code, argument, _ in pickletools.genops(content) if code.name == "GLOBAL"]
    assert names == ["numpy.core.multiarray _reconstruct"]
    assert b"_core" not in content and content[1] == 4  # the protocol


def test_where_nothing_is_written(tmp_path: Path) -> None:
    store = make_store(tmp_path, [by_place(walk(number)) for number in range(6)])
    (tmp_path / "there.pkl").write_text("mine")
    with pytest.raises(UsageError, match=r"there\.pkl exists: name another file"):
        write_annotations(store, Walks, tmp_path / "there.pkl")
    assert (tmp_path / "there.pkl").read_text() == "mine"
    with pytest.raises(UsageError, match="walks has no protocol 'xset': choose one of xsub, half"):
        write_annotations(store, Walks, tmp_path / "new.pkl", ["xset"])
    with pytest.raises(DataError, match=r"there\.pkl/new\.pkl cannot be written"):
        write_annotations(store, Walks, tmp_path / "there.pkl/new.pkl")


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKELRAY_HOME", str(tmp_path))
    monkeypatch.setattr(registry, "load_dataset", {"walks": Walks}.__getitem__)
    folder = tmp_path / "stores" / "walks"
    folder.mkdir(parents=True)
    store = make_store(folder, [by_place(walk(number)) for number in range(6)])
    paths.write_json(
        folder / stores.MANIFEST,
        {"version": stores.VERSION, **stores.meaning(Walks), **store.manifest},
    )
    command = ["write-annotations", "walks", str(tmp_path / "w.pkl"), "--protocol", "xsub"]
    done = CliRunner().invoke(cli.app, command)
    assert done.output.splitlines() == [
        f"6 annotations in {tmp_path / 'w.pkl'}",
        "  xsub_train: 4",
        "  xsub_val: 2",
    ]
    assert len(load(tmp_path / "w.pkl")["annotations"]) == 6
