"""NTU in CTR-GCN's layout, from small files made here and from a real recording."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from skelray.datasets.ctrgcn.dataset import NTU60CTRGCN, NTU120CTRGCN
from skelray.datasets.ntu.parser import parse_skeleton
from skelray.platform.data.store import check_sample
from skelray.platform.dataset import Dataset, RawItem, SkeletonSample
from skelray.platform.errors import DataError
from skelray.platform.preprocessing.denoised import denoised
from skelray.platform.registry import load_dataset

FRAMES = 20
LENGTHS = (20, 1, 7, 19, 12, 3, 8)
LABELS = (5, 59, 0, 5, 31, 2, 40)

Save = Callable[..., None]


def coordinates(rows: int = 7, seed: int = 0) -> np.ndarray:
    """Rows (n, 20, 150) of LENGTHS frames, the second body in those of an odd number only."""
    x = np.random.default_rng(seed).normal(size=(rows, FRAMES, 150)).astype(np.float32)
    for row in range(rows):
        x[row, LENGTHS[row] :] = 0
        if row % 2 == 0:
            x[row, :, 75:] = 0
    return x


def split(classes: int = 60, **changes: Any) -> dict[str, np.ndarray]:
    """The arrays of a file: 7 rows train, 3 test."""
    y = np.eye(classes)[list(LABELS)]
    arrays = {
        "x_train": coordinates(),
        "y_train": y,
        "x_test": coordinates(3, seed=1),
        "y_test": y[:3],
    }
    return arrays | changes


def write(folder: Path, name: str = "NTU60_CS", save: Save = np.savez, **changes: Any) -> Path:
    """Writes a file with some arrays changed; None removes one."""
    arrays = {key: value for key, value in split(**changes).items() if value is not None}
    save(folder / f"{name}.npz", **arrays)
    return folder / f"{name}.npz"


def read(item: RawItem, dataset: type[Dataset] = NTU60CTRGCN) -> SkeletonSample:
    """The one sample of an item, which fits the data set."""
    (sample,) = dataset().read(item)
    check_sample(sample, dataset)
    return sample


def as_row(sample: SkeletonSample) -> np.ndarray:
    """The sample as a padded row again (20, 150)."""
    assert sample.body_id is not None
    row = np.zeros((FRAMES, 2, 75), dtype=np.float32)
    frame = np.repeat(np.arange(sample.frames), sample.frame_bodies)
    row[frame, sample.body_id] = sample.xyz.reshape(-1, 75)
    return row.reshape(FRAMES, 150)


def test_registered() -> None:
    assert load_dataset("ntu60_ctrgcn") is NTU60CTRGCN
    assert load_dataset("ntu120_ctrgcn") is NTU120CTRGCN
    assert len(NTU60CTRGCN.classes) == 60 and len(NTU120CTRGCN.classes) == 120


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_every_row_comes_back(tmp_path: Path, save: Save) -> None:
    path = write(tmp_path, save=save)
    found = NTU60CTRGCN().discover(tmp_path)
    assert not found.skipped
    assert [item.id for item in found.items] == [
        *(f"NTU60_CS/train-{row}" for row in range(7)),
        *(f"NTU60_CS/test-{row}" for row in range(3)),
    ]
    samples = [read(item) for item in found.items]
    with np.load(path) as arrays:
        expected = np.concatenate([arrays["x_train"], arrays["x_test"]])
    assert np.array_equal([as_row(sample) for sample in samples], expected)
    assert [sample.label for sample in samples] == [*LABELS, *LABELS[:3]]
    assert [sample.frames for sample in samples] == [*LENGTHS, *LENGTHS[:3]]
    assert all(sample.xyz.dtype == np.float32 and sample.fps == 30.0 for sample in samples)
    assert samples[0].subject is None and samples[0].camera is None and samples[0].setup is None


def test_rows_are_read_in_any_order(tmp_path: Path) -> None:
    write(tmp_path, save=np.savez_compressed)
    items = NTU60CTRGCN().discover(tmp_path).items
    for row in (6, 2, 9, 0, 7):
        expected = coordinates()[row] if row < 7 else coordinates(3, seed=1)[row - 7]
        assert np.array_equal(as_row(read(items[row])), expected)


def test_gaps_and_absent_bodies(tmp_path: Path) -> None:
    x = coordinates()
    x[1, 0] = 0
    x[1, 2:6] = 1
    x[1, 3] = 0  # nobody
    x[1, 4, :75] = 0  # the second body only
    x[1, 5, 75:] = 0
    x[1, 5, 1:75] = 0  # one number makes a body
    write(tmp_path, x_train=x)
    sample = read(NTU60CTRGCN().discover(tmp_path).items[1])
    assert sample.frame_bodies.tolist() == [0, 0, 2, 0, 1, 1]
    assert sample.body_id is not None and sample.body_id.tolist() == [0, 1, 1, 0]
    assert np.array_equal(as_row(sample), x[1])


def test_splits_are_those_of_the_files(tmp_path: Path) -> None:
    write(tmp_path, "NTU60_CS")
    (tmp_path / "mamp").mkdir()
    write(tmp_path / "mamp", "NTU60_XView")
    write(tmp_path, "NTU120_CSub", classes=120)
    found = NTU60CTRGCN().discover(tmp_path)
    assert set(found.splits) == {"xsub", "xview"}
    assert found.splits["xsub"]["test"] == [f"NTU60_CS/test-{row}" for row in range(3)]
    assert found.splits["xview"]["train"] == [f"NTU60_XView/train-{row}" for row in range(7)]
    ids = [item.id for item in found.items]
    assert len(ids) == len(set(ids)) == 20
    assert set(ids) == {
        i for parts in found.splits.values() for part in parts.values() for i in part
    }
    known = "NTU60_CS.npz, NTU60_XSub.npz, NTU60_CV.npz, NTU60_XView.npz"
    assert found.skipped == {"NTU120_CSub.npz": f"the name is not one of {known}"}
    (item, *_) = NTU120CTRGCN().discover(tmp_path).items
    assert read(item, NTU120CTRGCN).id == "NTU120_CSub/train-0"


def test_ids_sort_as_rows(tmp_path: Path) -> None:
    x = np.ones((12, 1, 150), dtype=np.float32)
    write(tmp_path, x_train=x, y_train=np.eye(60)[:12])
    ids = [item.id for item in NTU60CTRGCN().discover(tmp_path).items][:12]
    assert ids == sorted(ids) and ids[3] == "NTU60_CS/train-03"


def test_one_file_for_a_split(tmp_path: Path) -> None:
    write(tmp_path, "NTU60_CS")
    write(tmp_path, "NTU60_XSub")
    found = NTU60CTRGCN().discover(tmp_path)
    assert len(found.items) == 10
    assert found.skipped == {"NTU60_XSub.npz": "the split xsub was found in another file already"}


def test_the_file_itself(tmp_path: Path) -> None:
    path = write(tmp_path)
    assert len(NTU60CTRGCN().discover(path).items) == 10
    write(tmp_path, y_test=None)
    assert NTU60CTRGCN().discover(path).skipped == {
        "NTU60_CS.npz": "y_test.npy: there is no such array"
    }


X, Y = coordinates(), np.eye(60)[list(LABELS)]
UNFIT: dict[str, tuple[dict[str, Any], str]] = {
    "no x_test": ({"x_test": None}, "x_test.npy: there is no such array"),
    "no y_train": ({"y_train": None}, "y_train.npy: there is no such array"),
    "one body": (
        {"x_train": X[..., :75]},
        "x_train.npy: expected (rows, frames, 150) floating-point numbers, found float32 of shape "
        "(7, 20, 75)",
    ),
    "four dimensions": ({"x_train": X.reshape(7, 20, 2, 75)}, "found float32 of shape (7, 20, 2,"),
    "whole numbers": ({"x_train": X.astype(np.int32)}, "found int32 of shape (7, 20, 150)"),
    "objects": ({"y_test": np.array([None] * 3)}, "y_test.npy: holds Python objects, which"),
    "a label less": (
        {"y_train": Y[:6]},
        "y_train.npy: expected (7, 60) numbers, one-hot labels, found float64 of shape (6, 60)",
    ),
    "other classes": ({"classes": 120}, "y_train.npy: expected (7, 60) numbers, one-hot labels"),
    "class numbers": ({"y_train": np.arange(7)}, "found int64 of shape (7,)"),
    "text": ({"y_train": Y.astype(str)}, "one-hot labels, found <U32 of shape (7, 60)"),
}


@pytest.mark.parametrize("case", UNFIT)
def test_an_unfit_file_is_left_out(tmp_path: Path, case: str) -> None:
    changes, expected = UNFIT[case]
    write(tmp_path, **changes)
    found = NTU60CTRGCN().discover(tmp_path)
    assert not found.items and not found.splits
    reason = found.skipped["NTU60_CS.npz"]
    assert expected in reason and "\n" not in reason and str(tmp_path) not in reason


def test_a_cut_file_is_left_out(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_bytes(path.read_bytes()[:-500])
    write(tmp_path, "NTU60_CV")
    found = NTU60CTRGCN().discover(tmp_path)
    assert len(found.items) == 10 and set(found.splits) == {"xview"}
    assert found.skipped == {"NTU60_CS.npz": "x_train.npy: cannot be read (File is not a zip file)"}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_damaged_file_is_left_out(tmp_path: Path, save: Save) -> None:
    path = write(tmp_path, save=save)
    content = bytearray(path.read_bytes())
    content[5000:5008] = bytes(8)
    path.write_bytes(content)
    found = NTU60CTRGCN().discover(tmp_path)
    assert not found.items
    assert found.skipped["NTU60_CS.npz"].startswith("x_train.npy: damaged (")


def test_a_file_inside_a_zip_archive(tmp_path: Path) -> None:
    path = write(tmp_path)
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(path, "ntu/NTU60_CS.npz")
    path.unlink()
    found = NTU60CTRGCN().discover(tmp_path)
    reason = "inside a zip archive: extract it first"
    assert found.skipped == {"all.zip: ntu/NTU60_CS.npz": reason} and not found.items


def label_row(*numbers: float) -> np.ndarray:
    """Labels whose row 2 begins with these numbers and is 0 elsewhere."""
    y = Y.copy()
    y[2] = 0
    y[2, : len(numbers)] = numbers
    return y


def with_number(value: float) -> np.ndarray:
    """Coordinates with one number of row 2 changed: the second body's third joint in frame 4."""
    x = coordinates()
    x[2, 4, 75 + 6] = value
    return x


DAMAGED_ROW: dict[str, tuple[dict[str, Any], str]] = {
    "no label": ({"y_train": label_row()}, "y_train.npy, row 2: not one-hot, its numbers sum to 0"),
    "two labels": ({"y_train": label_row(1, 1)}, "y_train.npy, row 2: not one-hot"),
    "a soft label": ({"y_train": label_row(0.5)}, "y_train.npy, row 2: not one-hot"),
    "a label of 2": ({"y_train": label_row(2)}, "y_train.npy, row 2: not one-hot"),
    "no number": ({"y_train": label_row(np.nan)}, "y_train.npy, row 2: not one-hot"),
    "two that make one": ({"y_train": label_row(2, -1)}, "y_train.npy, row 2: not one-hot"),
    "not finite": (
        {"x_train": with_number(np.nan)},
        "x_train.npy, row 2: joint 2 of body 1 in frame 4 is not finite",
    ),
    "infinite": ({"x_train": with_number(np.inf)}, "in frame 4 is not finite"),
    "too large for float32": (
        {"x_train": with_number(0).astype(np.float64) * 1e300},
        "joint 0 of body 0 in frame 0 is not finite",
    ),
    "nobody": ({"x_train": coordinates() * 0}, "x_train.npy, row 2: nothing but zeros, so no body"),
}


@pytest.mark.parametrize("case", DAMAGED_ROW)
def test_a_damaged_row_is_named(tmp_path: Path, case: str) -> None:
    changes, expected = DAMAGED_ROW[case]
    path = write(tmp_path, **changes)
    item = NTU60CTRGCN().discover(tmp_path).items[2]
    with pytest.raises(DataError) as caught:
        read(item)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and expected in message and "\n" not in message


def test_the_rows_beside_a_damaged_one_are_read(tmp_path: Path) -> None:
    write(tmp_path, x_train=with_number(np.nan))
    items = NTU60CTRGCN().discover(tmp_path).items
    for row in (1, 3):
        assert np.array_equal(as_row(read(items[row])), coordinates()[row])


def test_a_file_that_changed_since_is_read_anew(tmp_path: Path) -> None:
    """The state in the item keeps what is open from being taken for the file's next content."""
    write(tmp_path)
    (first, *_) = NTU60CTRGCN().discover(tmp_path).items
    read(first)
    write(tmp_path, x_train=coordinates(seed=5) * 2, x_test=coordinates(3, seed=6)[:, :19])
    (second, *_) = NTU60CTRGCN().discover(tmp_path).items
    assert second.stamp != first.stamp
    assert np.array_equal(as_row(read(second)), coordinates(seed=5)[0] * 2)


@pytest.mark.parametrize("name", ["S001C001P001R001A001", "S001C003P008R002A058"])
@pytest.mark.parametrize("alone", ["zeros", "copy"])
def test_rows_go_through_denoised_unchanged(
    shared: Callable[[str], Path], tmp_path: Path, name: str, alone: Literal["zeros", "copy"]
) -> None:
    """What the original pipeline gives for a real recording is stored, read and given again."""
    path = shared(f"data/ntu_sample/{name}.skeleton")
    raw = SkeletonSample(id=name, **parse_skeleton(path.read_bytes(), name)._asdict())
    expected = denoised(raw, NTU60CTRGCN.skeleton, gaps="close", alone=alone)
    x = np.zeros((1, 300, 150), dtype=np.float32)
    x[0, : len(expected.frames)] = expected.frames.reshape(-1, 150)
    write(tmp_path, x_train=x, y_train=np.eye(60)[57:58])
    sample = read(NTU60CTRGCN().discover(tmp_path).items[0])
    again = denoised(sample, NTU60CTRGCN.skeleton, gaps="keep", alone=alone)
    assert np.array_equal(again.frames, expected.frames)
    assert again.length == expected.length and sample.label == 57
