"""A folder of arrays and its table: what is listed, what is left out and why, what a row gives."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from skelray.platform.data.store import check_sample
from skelray.platform.dataset import Discovery, RawItem, SkeletonSample
from skelray.platform.errors import DataError
from skelray.platform.importing import ArrayFolder
from skelray.platform.skeleton.specs import KINECT_V1


class Gestures(ArrayFolder):
    name = "gestures"
    skeleton = KINECT_V1
    persons = 1
    classes = ("wave", "point", "1")
    fps = 25.0


XYZ = np.arange(1.0, 1.0 + 2 * 20 * 3).reshape(2, 20, 3)


def write(folder: Path, *names: str) -> None:
    """The same recording in files of these names."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".npy":
            np.save(path, XYZ)
        elif path.suffix == ".npz":
            np.savez(path, xyz=XYZ)
        elif path.suffix == ".json":
            path.write_text(json.dumps(XYZ.tolist()))
        else:
            np.savetxt(path, XYZ.reshape(2, -1), delimiter=",", fmt="%.9g")


def discover(folder: Path, *rows: str) -> Discovery:
    """What is found beside a table of these lines."""
    (folder / "recordings.csv").write_text("\n".join(rows), encoding="utf-8")
    return Gestures().discover(folder)


def read(item: RawItem) -> SkeletonSample:
    (sample,) = Gestures().read(item)
    check_sample(sample, Gestures)
    return sample


def reason(found: Discovery, name: str, folder: Path) -> str:
    return found.skipped[name].replace(str(folder), "RAW")


def test_without_a_table_all_files_are_unlabelled_recordings(tmp_path: Path) -> None:
    write(tmp_path, "d.npy", "a/c.npz", "b.json", "a.csv", "._a.npy")
    (tmp_path / "notes.txt").touch()
    found = Gestures().discover(tmp_path)
    assert [item.id for item in found.items] == ["a", "b", "c", "d"]
    assert found.skipped == {"._a.npy": "a hidden file"}
    assert found.splits == {"all": {"train": ["a", "b", "c", "d"], "test": []}}
    for sample in map(read, found.items):
        np.testing.assert_array_equal(sample.xyz, np.float32(XYZ))
        assert sample.label is None and sample.subject is None and sample.clip is None
        assert sample.fps == 25.0


def test_an_archive_with_its_table_is_like_the_folder(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    write(raw, "walks/a.npy", "walks/b.csv")
    rows = "id,label,clip\na,wave,clips/a.avi\nb,point,\n"
    (raw / "walks/recordings.csv").write_text(rows)
    with zipfile.ZipFile(tmp_path / "raw.zip", "w") as archive:
        for path in sorted(raw.rglob("*.*")):
            archive.write(path, path.relative_to(raw))
    folder, packed = (Gestures().discover(path) for path in (raw, tmp_path / "raw.zip"))
    assert not folder.skipped and not packed.skipped and folder.splits == packed.splits
    for one, other in zip(map(read, folder.items), map(read, packed.items), strict=True):
        assert (one.id, one.label) == (other.id, other.label)
        np.testing.assert_array_equal(one.xyz, other.xyz)
    assert read(folder.items[0]).clip == str(raw / "walks/clips/a.avi")
    assert read(packed.items[0]).clip == str(tmp_path / "clips/a.avi")


def test_a_row_says_what_a_recording_is(tmp_path: Path) -> None:
    write(tmp_path, *(f"{name}.npy" for name in "abcd"))
    found = discover(
        tmp_path,
        "\ufeffID, Label,subject,camera,setup,replication,fps,clip",
        "a,wave,3,1,0,2,29.97,/clips/a.avi",
        '"b",0,,,,,,',
        "",
        "c,1,2147483,,,,,",
        "d,,,,,,,",
    )
    a, b, c, d = map(read, found.items)
    assert (a.label, a.subject, a.camera, a.setup, a.replication) == (0, 3, 1, 0, 2)
    assert (a.fps, a.clip) == (29.97, "/clips/a.avi")
    assert (b.label, b.subject, b.fps, b.clip) == (0, None, 25.0, None)
    assert c.label == 2 and c.subject == 2147483  # a class's name goes before a number
    assert d.label is None
    assert not found.skipped


def test_files_and_rows_without_each_other_are_listed(tmp_path: Path) -> None:
    write(tmp_path, "a.npy", "b.npy", "twice/b.npy", "c.npy", "recordings.npy")
    found = discover(
        tmp_path,
        "id,lable,label",
        "a,,wave",
        "b,,wave",
        "a,,point",
        ",,wave",
        "z,,wave",
        "c,wave",
    )
    assert [item.id for item in found.items] == ["a", "b"]
    assert read(found.items[0]).label == 0
    assert {name: reason(found, name, tmp_path) for name in found.skipped} == {
        "twice/b.npy": "the same recording as RAW/b.npy",
        "recordings.npy": "the same recording as RAW/recordings.csv",
        "c": "not in RAW/recordings.csv",
        "z": "RAW/recordings.csv, line 6: no file z.npy, .npz, .json or .csv",
        "recordings.csv, column 'lable'": (
            "not read: columns are id, label, subject, camera, setup, replication, fps, clip, "
            "split, split_NAME"
        ),
        "recordings.csv, line 4": "'a' is in line 2 already",
        "recordings.csv, line 5": "the id is empty",
        "recordings.csv, line 7": "it has 2 values, the first line 3 columns",
    }


def test_splits_are_columns(tmp_path: Path) -> None:
    write(tmp_path, *(f"{name}.npy" for name in "abcd"))
    found = discover(
        tmp_path,
        "id,split,split_pairs",
        "a,train,test",
        "b,test,",
        "c,train,train",
        "d,Train,train",
        "missing,train,train",
    )
    assert found.splits == {
        "all": {"train": ["a", "b", "c", "d"], "test": []},
        "split": {"train": ["a", "c"], "test": ["b"]},
        "pairs": {"train": ["c", "d"], "test": ["a"]},
    }
    with pytest.raises(
        DataError, match=r"csv, line 5 \(d\): split is 'Train', expected train, test or"
    ):
        read(found.items[3])


WRONG = {
    "label": {
        "jump": "label is 'jump', expected one of the 3 class names or a number from 0 to 2",
        "3": "label is '3'",
        "-1": "label is '-1'",
        "0.0": "label is '0.0'",
        "9" * 5000: "label is '999",
    },
    "subject": {"S1": "subject is 'S1', expected a whole number from 0", "-1": "subject is '-1'"},
    "camera": {"9999999999": "camera is '9999999999'", "1.0": "camera is '1.0'"},
    "fps": {
        "fast": "fps is 'fast', expected frames per second",
        "0": "fps is '0'",
        "nan": "fps is 'nan'",
        "inf": "fps is 'inf'",
    },
}


@pytest.mark.parametrize("column", WRONG)
def test_a_wrong_value_costs_its_recording_only(tmp_path: Path, column: str) -> None:
    values = WRONG[column]
    write(tmp_path, "good.npy", *(f"r{number}.npy" for number in range(len(values))))
    rows = [f"r{number},{value}" for number, value in enumerate(values)]
    found = discover(tmp_path, f"id,{column}", "good,", *rows)
    assert read(found.items[0]).id == "good"
    for number, (item, expected) in enumerate(zip(found.items[1:], values.values(), strict=True)):
        with pytest.raises(DataError) as caught:
            read(item)
        line = f"{tmp_path / 'recordings.csv'}, line {number + 3} (r{number}): {expected}"
        assert str(caught.value).startswith(line)


def test_the_shard_is_made_anew_where_a_row_changes(tmp_path: Path) -> None:
    write(tmp_path, "a.npy")
    (before,) = discover(tmp_path, "id,label", "a,wave").items
    (after,) = discover(tmp_path, "id,label", "a,point").items
    assert before != after and before.stamp == after.stamp


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "the first line is ''"),
        (b"name,label\na,wave\n", "the first line is 'name, label'"),
        (b"id;label\na;wave\n", "the first line is 'id;label'"),
        (b"id,label,label\n", "the first line is 'id, label, label'"),
        ("id,label\na,gr\xfc\xdfen\n".encode("latin-1"), "not UTF-8"),
        (b'id,label\na,"wave\n', "not a CSV table"),
        (b"id,label\na," + b"x" * 200_000, "not a CSV table"),
    ],
)
def test_a_table_that_is_none_ends_in_one_line(
    tmp_path: Path, content: bytes, expected: str
) -> None:
    write(tmp_path, "a.npy")
    (tmp_path / "recordings.csv").write_bytes(content)
    with pytest.raises(DataError, match=f"recordings.csv: {expected}") as caught:
        Gestures().discover(tmp_path)
    assert "\n" not in str(caught.value)


def test_ids_with_the_ending_are_said_to_be_that_in_the_order_of_the_table(tmp_path: Path) -> None:
    write(tmp_path, "a.npy", "b.csv")
    found = discover(tmp_path, "id,label", "b.csv,wave", "c,wave", "a.NPY,wave")
    assert list(found.skipped) == ["b.csv", "c", "a.NPY", "a", "b"]
    assert found.skipped["a.NPY"].endswith("line 4: the id is a file's name without its ending")
    assert found.skipped["c"].endswith("line 3: no file c.npy, .npz, .json or .csv")


def test_a_column_that_only_begins_like_a_split_is_not_read(tmp_path: Path) -> None:
    write(tmp_path, "a.npy")
    found = discover(tmp_path, "id,split2,splitter", "a,2,anna")
    assert list(found.skipped) == [
        "recordings.csv, column 'split2'",
        "recordings.csv, column 'splitter'",
    ]
    assert read(found.items[0]).id == "a"


@pytest.mark.parametrize("other", ["a/recordings.csv", "a/recordings.npy"])
def test_a_table_is_not_lost_to_a_file_of_its_name(tmp_path: Path, other: str) -> None:
    write(tmp_path, "a.npy", other)
    with pytest.raises(DataError, match=r"recordings\.csv: the same .*: keep one table"):
        discover(tmp_path, "id,label", "a,wave")


def test_a_table_that_cannot_be_read_is_not_as_if_there_were_none(tmp_path: Path) -> None:
    write(tmp_path, "a.npy")
    (tmp_path / "recordings.csv").symlink_to(tmp_path / "gone.csv")
    with pytest.raises(DataError, match=r"recordings\.csv: cannot be read \(No such file"):
        Gestures().discover(tmp_path)


def test_a_foreign_item_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    with pytest.raises(DataError, match=r"a\.txt: not one of \.npy, \.npz, \.json, \.csv"):
        read(RawItem("a", str(tmp_path / "a.txt")))
