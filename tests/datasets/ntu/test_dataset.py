"""NTU's files, labels and splits, and the owners' lists against the field's published sizes."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from skelray.datasets.ntu.dataset import (
    CLASSES,
    MISSING_SKELETONS,
    NTU60,
    NTU120,
    XSUB_TRAIN_60,
    XSUB_TRAIN_120,
    RecordingName,
)
from skelray.platform.dataset import Dataset, Protocol
from skelray.platform.errors import DataError, UsageError
from skelray.platform.registry import load_dataset

SHARED = Path(os.environ.get("SKELRAY_SHARED", Path(__file__).parents[3] / ".." / "shared"))
EMPTY_FRAME = "1\n0\n"


def missing(dataset: type[Dataset]) -> list[RecordingName]:
    """The listed names that belong to a data set."""
    names = [RecordingName.parse(stem) for stem in MISSING_SKELETONS]
    assert None not in names
    return [n for n in names if n and (dataset is NTU120 or n.setup <= 17)]


def split(names: list[RecordingName], protocol: Protocol) -> tuple[int, int]:
    """How many names train and test."""
    train = sum(getattr(name, protocol.field) in protocol.train for name in names)
    return train, len(names) - train


def test_registered() -> None:
    assert load_dataset("ntu60") is NTU60
    assert load_dataset("ntu120") is NTU120


def test_class_names() -> None:
    assert len(CLASSES) == len(set(CLASSES)) == 120
    assert NTU60.classes == CLASSES[:60] and NTU120.classes == CLASSES
    assert all(name == name.strip() and name.isascii() and name for name in CLASSES)
    by_action = {1: "drink water", 43: "falling", 50: "punching/slapping other person"}
    by_action |= {60: "walking apart from each other", 61: "put on headphone", 112: "high-five"}
    assert {action: CLASSES[action - 1] for action in by_action} == by_action


def test_missing_list() -> None:
    path = Path(__file__).parents[3] / "datasets" / "ntu" / "missing_skeletons.txt"
    lines = path.read_text().splitlines()
    assert lines == sorted(set(lines)) and len(lines) == 535
    assert len(missing(NTU60)) == 302
    assert all(name.action <= 60 for name in missing(NTU60))
    assert all(name.action > 60 for name in missing(NTU120) if name.setup > 17)
    assert all(name.camera in (1, 2, 3) and name.replication in (1, 2) for name in missing(NTU120))


@pytest.mark.parametrize(
    ("dataset", "name", "full", "published"),
    [
        (NTU60, "xsub", (40320, 16560), (40091, 16487)),
        (NTU60, "xview", (37920, 18960), (37646, 18932)),
        (NTU120, "xsub", (63360, 51120), (63026, 50919)),
        (NTU120, "xset", (54720, 59760), (54468, 59477)),
    ],
)
def test_list_and_protocols_give_the_published_sizes(
    dataset: type[Dataset], name: str, full: tuple[int, int], published: tuple[int, int]
) -> None:
    """Published sizes plus the listed names must give the full data set, part by part.

    A group of one setup, subject and repetition has 60 actions before 3 cameras, 180 recordings.
    """
    total = {"ntu60": 56880, "ntu120": 114480}[dataset.name]
    train, test = split(missing(dataset), dataset.protocol(name))
    assert (published[0] + train, published[1] + test) == full
    assert sum(full) == total
    unit = (120, 60) if name == "xview" else (180, 180)
    assert full[0] % unit[0] == 0 and full[1] % unit[1] == 0


def test_training_subjects() -> None:
    assert len(XSUB_TRAIN_60) == 20 and max(XSUB_TRAIN_60) <= 40
    assert len(XSUB_TRAIN_120) == 53 and max(XSUB_TRAIN_120) <= 106
    assert {s for s in XSUB_TRAIN_120 if s <= 40} == XSUB_TRAIN_60


@pytest.mark.parametrize("dataset", [NTU60, NTU120])
def test_holdout_is_a_part_of_the_training_subjects(dataset: type[Dataset]) -> None:
    subjects = {"ntu60": 40, "ntu120": 106}[dataset.name]
    for protocol in dataset.protocols:
        if protocol.field == "subject":
            assert protocol.holdout < protocol.train
            subjects_that_train = len(protocol.train)
        else:
            assert protocol.holdout < set(range(1, subjects + 1))
            subjects_that_train = subjects
        assert 0.15 <= len(protocol.holdout) / subjects_that_train <= 0.2


def test_protocol_aliases() -> None:
    assert {NTU60.protocol(a).name for a in ("xsub", "cs", "CS", "cross_subject")} == {"xsub"}
    assert {NTU60.protocol(a).name for a in ("xview", "cv", "cross_view")} == {"xview"}
    assert {NTU120.protocol(a).name for a in ("xset", "xsetup", "cross_setup")} == {"xset"}
    assert {NTU120.protocol(a).name for a in ("cs", "csub", "cross_subject")} == {"xsub"}
    with pytest.raises(UsageError, match="ntu60 has no protocol 'xset'"):
        NTU60.protocol("xset")


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Good files in two folders, and every kind of file that is left out."""
    for name in (
        "b/S001C001P001R001A001",
        "a/S017C003P040R002A060",
        "a/deeper/S001C001P001R001A002",
        "c/S001C001P001R001A001",  # twice
        "a/S001C002P005R002A008",  # on the list
        "a/S018C001P041R001A061",  # not of ntu60
        "a/S018C001P041R001A060",
        "a/S001C001P001R001A000",
        "a/S001C001P001R001A001 (1)",
    ):
        path = tmp_path / f"{name}.skeleton"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(EMPTY_FRAME)
    (tmp_path / "b" / "S001C001P001R001A001_rgb.avi").touch()
    (tmp_path / "notes.txt").touch()
    return tmp_path


def test_discover(raw: Path) -> None:
    found = NTU60().discover(raw)
    assert [(item.id, item.path) for item in found.items] == [
        ("S001C001P001R001A001", f"{raw}/b/S001C001P001R001A001.skeleton"),
        ("S001C001P001R001A002", f"{raw}/a/deeper/S001C001P001R001A002.skeleton"),
        ("S017C003P040R002A060", f"{raw}/a/S017C003P040R002A060.skeleton"),
    ]
    assert found.skipped == {
        "a/S001C001P001R001A000.skeleton": "action 0 is not one of ntu60's 1 to 60",
        "a/S001C001P001R001A001 (1).skeleton": "the name is not SsssCcccPpppRrrrAaaa.skeleton",
        "a/S001C002P005R002A008.skeleton": "on the owners' list of missing or incomplete skeletons",
        "a/S018C001P041R001A060.skeleton": "setup 18 is not one of ntu60's 1 to 17",
        "a/S018C001P041R001A061.skeleton": "action 61 is not one of ntu60's 1 to 60",
        "c/S001C001P001R001A001.skeleton": f"the same recording as {found.items[0].path}",
    }
    assert len(NTU120().discover(raw).items) == 5


def test_the_owners_archives_are_read_as_they_are(raw: Path, tmp_path: Path) -> None:
    packed = tmp_path / "zips"
    packed.mkdir()
    with zipfile.ZipFile(packed / "nturgbd_skeletons_s001_to_s017.zip", "w") as archive:
        for file in raw.rglob("*.skeleton"):
            archive.write(file, f"nturgb+d_skeletons/{file.relative_to(raw).as_posix()}")
    dataset = NTU60()
    loose = dataset.discover(raw).items
    found = dataset.discover(packed)
    assert [item.id for item in found.items] == [item.id for item in loose]
    assert sorted(found.skipped.values())[0] == "action 0 is not one of ntu60's 1 to 60"
    assert len(found.skipped) == 6
    one, other = (next(dataset.read(items[-1])) for items in (found.items, loose))
    assert one.subject == other.subject and one.xyz.tolist() == other.xyz.tolist()


def test_read(raw: Path) -> None:
    dataset = NTU60()
    first, _, last = (next(dataset.read(item)) for item in dataset.discover(raw).items)
    assert (last.setup, last.camera, last.subject, last.replication, last.label) == (
        (17, 3, 40, 2, 59)
    )
    assert last.clip is None and first.clip == f"{raw}/b/S001C001P001R001A001_rgb.avi"
    assert first.fps == 30 and first.frames == 1 and first.xyz.shape == (0, 25, 3)


def test_read_damaged(raw: Path) -> None:
    dataset = NTU60()
    item = dataset.discover(raw).items[0]
    Path(item.path).write_text("1\n1\n")
    with pytest.raises(DataError, match=r"b/S001C001P001R001A001\.skeleton, line 2: "):
        next(dataset.read(item))


def test_real_recordings() -> None:
    folder = SHARED / "data" / "ntu_sample"
    if not folder.is_dir():
        pytest.skip(f"no recordings at {folder}")
    dataset = NTU60()
    one, two = (next(dataset.read(item)) for item in dataset.discover(folder).items)
    assert (one.label, one.subject, one.camera, one.frames) == (0, 1, 1, 103)
    assert one.clip == str(folder / "S001C001P001R001A001_rgb.avi")
    assert (two.label, two.subject, two.camera, two.frames) == (57, 8, 3, 70)
    assert two.clip is None and len(two.xyz) == 140
    assert one.body_header is not None and one.body_header.shape == (103, len(dataset.header))
