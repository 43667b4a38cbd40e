"""Every fault is found in the recording that has it, and nothing in good ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skelray.platform import registry
from skelray.platform.data.store import Store, write_shard
from skelray.platform.dataset import Dataset, Discovery, Protocol
from skelray.platform.errors import DataError
from skelray.platform.validation import check_raw, check_store
from skelray.platform.validation.check import spread
from tests.platform.validation.made_up import BODY, FRAMES, MadeUp, dataset, recording, walking

RAW = Path("raw")
ONES = np.ones(FRAMES, dtype=np.int32)


def lines(kind: type[MadeUp], **limits: int) -> list[str]:
    return list(check_raw(kind, RAW, **limits).lines())


def test_nothing_is_found_in_good_recordings() -> None:
    assert lines(dataset()) == []


def moved(place: tuple[int, ...], way: tuple[float, float, float]) -> np.ndarray:
    xyz = walking(0)
    xyz[place] += np.float32(way)
    return xyz


def people(*starts: float) -> np.ndarray:
    """One after another beside each other: (FRAMES, persons, 20, 3)."""
    return np.stack([walking(seed, start) for seed, start in enumerate(starts)], axis=1)


def swapped(values: np.ndarray) -> np.ndarray:
    """In frames 4 to 6 the first two of each frame's list have changed places."""
    changed = values.copy()
    changed[4:7, :2] = values[4:7, 1::-1]
    return changed


def grown() -> np.ndarray:
    """From frame 6 on three times as large about the hips."""
    xyz = walking(0)
    hips = xyz[6:, :1]
    xyz[6:] = hips + 3 * (xyz[6:] - hips)
    return xyz


def with_nan() -> np.ndarray:
    xyz = walking(0)
    xyz[5, 3, 1] = np.nan
    return xyz


PAIR = people(0.0, 2.0)
IDS = np.array([[7, 8]] * FRAMES)


FAULTS: dict[str, tuple[dict[str, Any], str, str]] = {
    # fault -> changed fields of recording r0, the finding's head, its example
    "19 joints": (
        {"xyz": walking(0)[:, :19]},
        "error: recordings that do not fit the class (prepare leaves them out): 1",
        "r0: xyz has shape (12, 19, 3), expected (12, 20, 3)",
    ),
    "19 joints and a NaN": (
        {"xyz": with_nan()[:, :19]},
        "error: recordings that do not fit the class",
        "r0: xyz has shape (12, 19, 3)",
    ),
    "NaN": (
        {"xyz": with_nan()},
        "error: recordings that do not fit the class",
        "r0: a joint coordinate is not a finite number (frame 5, joint 'head')",
    ),
    "label": (
        {"label": 2},
        "error: recordings that do not fit the class",
        "r0: label 2 is outside 0..1",
    ),
    "no frames": (
        {"frame_bodies": ONES[:0], "xyz": walking(0)[:0]},
        "error: recordings that do not fit the class",
        "r0: the recording has no frames",
    ),
    "a list": (
        {"xyz": [[1.0]]},
        "error: recordings that do not fit the class",
        "r0: xyz is list, expected an array of numbers",
    ),
    "the id of another": (
        {"id": "r1"},
        "error: ids that two recordings have (features are kept by id: make ids differ): 1",
        "r1",
    ),
    "a jump": (
        {"xyz": moved((slice(7, None),), (0, 0, 1.5))},
        "warning: recordings in which a person jumps (two people swapped, or a tracking error: "
        "body_id tells people apart): 1",
        "r0: 1.5 metre into frame 7, 0.9 times the body's size",
    ),
    "there and back": (
        {"xyz": moved((3,), (2, 0, 0))},
        "warning: recordings in which a person jumps",
        "r0: 2.05 metre into frame 3, 1.2 times the body's size (2 jumps in all)",
    ),
    "swapped places": (
        {"frame_bodies": 2 * ONES, "xyz": swapped(PAIR).reshape(-1, 20, 3)},
        "warning: recordings in which a person jumps",
        "r0: 2.",
    ),
    "another unit in some frames": (
        {"xyz": grown()},
        "warning: recordings in which a person changes size (another unit or joint order in some "
        "frames): 1",
        "r0: bones are 3.0 times as long in some frames",
    ),
    "one frame many times": (
        {"xyz": np.float32([BODY] * FRAMES)},
        "warning: recordings in which nobody moves (one frame written many times): 1",
        "r0: 12 frames are the same",
    ),
    "the depth as score": (
        {"score": np.full((FRAMES, 20), 2.5, np.float32)},
        "warning: recordings with scores outside 0 to 1 (a coordinate read as score): 1",
        "r0: 2.5 to 2.5",
    ),
    "a copy": (
        {"xyz": walking(3)},
        "warning: recordings with the coordinates of another (one file under two names): 1",
        "r3: the same as r0",
    ),
    "no clip": (
        {"clip": "/nowhere/r0.avi"},
        "warning: clips that are not there: 1",
        "r0: /nowhere/r0.avi",
    ),
    "no label": (
        {"label": None},
        "note: unlabelled recordings (they pretrain; no probe reads them): 1",
        "1 of 8",
    ),
    "three people": (
        {"frame_bodies": 3 * ONES, "xyz": people(0.0, 2.0, -2.0).reshape(-1, 20, 3)},
        "note: recordings with more bodies in a frame than persons (methods read the first "
        "ones): 1",
        "r0: 3 bodies, persons is 2",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_where_it_is(fault: str) -> None:
    changes, head, example = FAULTS[fault]
    found = lines(dataset(recording(0, **changes)))
    (at,) = [number for number, line in enumerate(found) if line.startswith(head)]
    assert found[at + 1].startswith(f"  {example}")
    assert len([line for line in found if not line.startswith("  ")]) == 1, found


@pytest.mark.parametrize(
    ("xyz", "ids"), [(PAIR, None), (swapped(PAIR), swapped(IDS).ravel())], ids=["place", "id"]
)
def test_two_people_are_followed(xyz: np.ndarray, ids: np.ndarray | None) -> None:
    pair = recording(0, frame_bodies=2 * ONES, xyz=xyz.reshape(-1, 20, 3), body_id=ids)
    assert lines(dataset(pair)) == []


def test_units_scale_what_counts_as_a_jump() -> None:
    millimetres = [recording(n, xyz=walking(n) * 1000) for n in range(8)]
    found = lines(dataset(*millimetres))
    assert found[0] == "warning: unit of the coordinates: 1"
    assert found[1].startswith(
        "  bodies measure 1.65e+03 metre from corner to corner: the numbers look like millimetre"
    )
    assert len(found) == 2


def test_lost_joints_and_absent_people_are_no_motion() -> None:
    lost = walking(0)
    lost[3, :9] = 0  # joints
    lost[6] = 0  # everybody
    lost[7:] += np.float32((0, 0, 2))  # where they come back somewhere else
    counts = ONES.copy()
    counts[9] = 0
    gone = recording(1, frame_bodies=counts, xyz=np.delete(walking(1), 9, axis=0))
    assert lines(dataset(recording(0, xyz=lost), gone)) == []


@pytest.mark.parametrize(
    ("turn", "direction"),
    [((1, -1, -1), "-y"), ((0, 2, 1), "+z")],
    ids=["upside down", "z is up"],
)
def test_axes_are_named(turn: tuple[int, int, int], direction: str) -> None:
    def turned(number: int) -> np.ndarray:
        return walking(number)[..., turn] if 2 in turn else walking(number) * np.float32(turn)

    found = lines(dataset(*(recording(n, xyz=turned(n)) for n in range(8))))
    assert found == [
        "warning: direction of the axes (preprocessing takes y as pointing up): 1",
        f"  most heads lie in direction {direction} of the legs, not +y",
    ]


def test_what_the_recordings_lack_together() -> None:
    same = [recording(n, label=0, subject=1) for n in range(8)]
    assert lines(dataset(*same)) == [
        "warning: classes without a recording: 1",
        "  1: right",
        "warning: one subject alone (no one can be held out, nor left out (losoN)): 1",
        "  all recordings are of subject 1",
        "warning: empty parts of splits (a run finds nothing to train on, or measures nothing): 2",
        "  part holdout of protocol xsub is empty: no recording has a fitting subject",
        "  part test of protocol xsub is empty: no recording has a fitting subject",
    ]
    few = lines(dataset(*same), limit=4)
    assert few == []  # four of them cannot tell


def test_splits_of_the_files_are_counted() -> None:
    splits = {
        "all": {"train": ["r0", "r1"], "test": []},
        "pairs": {"train": ["r0"], "test": ["gone"]},
        "none": {"train": [], "test": ["r0"]},
    }
    found = lines(dataset(found=Discovery([], {"notes.npy": "not in the table"}, splits)))
    assert found == [
        "warning: files and rows that are left out: 1",
        "  notes.npy: not in the table",
        "warning: empty parts of splits (a run finds nothing to train on, or measures nothing): 2",
        "  part test of protocol pairs is empty",
        "  part train of protocol none is empty",
    ]


def test_recordings_that_cannot_be_read() -> None:
    damaged = [DataError(f"raw/r{n}.npy: the array is (2, 5, 3)") for n in range(7)]
    found = lines(dataset(*damaged, KeyError("xyz")))
    assert found[:8] == [
        "error: recordings that cannot be read (prepare leaves them out): 7",
        *(f"  raw/r{n}.npy: the array is (2, 5, 3)" for n in range(5)),
        "  and 2 more",
        "error: recordings on which read fails (prepare stops there: raise DataError instead): 1",
    ]
    assert found[8].startswith("  r7: KeyError: 'xyz' (made_up.py, line ")


def test_a_listing_that_fails_is_a_finding() -> None:
    def discover(self: Dataset, raw: Path) -> Discovery:
        raise KeyError("index")

    head, place = lines(dataset(discover=discover))
    assert head == "error: discover fails: 1"
    assert place.startswith("  KeyError: 'index' (test_check.py, line ")


def test_a_class_that_does_not_read_is_a_finding() -> None:
    unfinished = type("Unfinished", (MadeUp,), {"read": Dataset.read})
    assert lines(unfinished) == [
        "error: the data set's class: 1",
        "  Unfinished does not define read",
    ]


def test_what_is_no_sample_is_a_finding() -> None:
    head, detail = lines(dataset({"xyz": []}, protocols=()))[:2]  # type: ignore[arg-type]
    assert head.startswith("error: recordings on which read fails")
    assert detail.startswith("  r0: TypeError: read yields a dict, expected a SkeletonSample")


def test_a_protocol_that_the_files_replace_is_named() -> None:
    splits = {"XSub": {"train": ["r0", "r1"], "test": ["r2"]}}
    assert lines(dataset(found=Discovery([], {}, splits))) == [
        "warning: protocols of the class that are not used (splits of that name came with the "
        "files): 1",
        "  xsub",
    ]


def test_a_folder_without_recordings() -> None:
    empty = type("Empty", (MadeUp,), {})
    assert lines(empty) == ["error: no recording is found: 1", "  below raw"]


CLASSES: dict[str, tuple[dict[str, Any], str]] = {
    "a class twice": ({"classes": ("a", "b", "a")}, "classes holds 'a' twice"),
    "no persons": ({"persons": 0}, "persons is 0: at least 1"),
    "metric": (
        {"metric": "top5"},
        "metric is 'top5', expected one of top1, mean_class",
    ),
    "one class": ({"classes": "wave"}, "classes is 'wave', expected a tuple: write ('wave',)"),
    "one protocol": (
        {"protocols": Protocol("p", "camera", frozenset({1}), frozenset())},
        "protocols is one Protocol, expected a tuple of them: put a comma after it",
    ),
    "a list of those who train": (
        {"protocols": (Protocol("p", "camera", [1, 2], frozenset()),)},  # type: ignore[arg-type]
        "protocol 'p': train is a list, expected a frozenset",
    ),
    "numbers as text": (
        {"protocols": (Protocol("p", "camera", frozenset({"1"}), frozenset()),)},
        "protocol 'p': train holds '1', but camera is a whole number",
    ),
    "field": (
        {"protocols": (Protocol("p", "age", frozenset({1}), frozenset()),)},
        "protocol 'p': field is 'age', expected one of subject, camera, setup, id",
    ),
    "no training": (
        {"protocols": (Protocol("p", "camera", frozenset(), frozenset()),)},
        "protocol 'p': train names no camera",
    ),
    "holdout": (
        {"protocols": (Protocol("p", "subject", frozenset({1}), frozenset({2})),)},
        "protocol 'p': holdout names subject 2, which is not in train",
    ),
    "both": (
        {"protocols": (Protocol("p", "subject", frozenset({1}), frozenset(), frozenset({1})),)},
        "protocol 'p': subject 1 is in train and in test",
    ),
    "name": (
        {"protocols": (Protocol("loso3", "subject", frozenset({1}), frozenset()),)},
        "protocol 'loso3': names losoN mean leave subject N out",
    ),
    "a class of its own": (
        {"protocols": (replace(MadeUp.protocols[0], classes=("left", "up")),)},
        "protocol 'xsub': classes names 'up', which is not one of the data set's",
    ),
    "a protocol's class twice": (
        {"protocols": (replace(MadeUp.protocols[0], classes=("left", "left")),)},
        "protocol 'xsub': classes holds a name twice",
    ),
    "one class of a protocol": (
        {"protocols": (replace(MadeUp.protocols[0], classes="left"),)},
        "protocol 'xsub': classes is 'left', expected a tuple",
    ),
}


@pytest.mark.parametrize("case", CLASSES)
def test_a_class_that_contradicts_itself(case: str) -> None:
    changes, expected = CLASSES[case]
    assert lines(dataset(**changes)) == ["error: the data set's class: 1", f"  {expected}"]


def test_a_class_without_what_it_needs() -> None:
    bare = type("Bare", (Dataset,), {"name": "bare", "persons": 1})
    assert lines(bare) == [
        "error: the data set's class: 3",
        "  Bare names no skeleton",
        "  Bare names no classes",
        "  Bare names no protocols",
    ]


def test_a_store_is_checked_like_its_files(tmp_path: Path) -> None:
    fault = recording(0, xyz=moved((slice(7, None),), (0, 0, 1.5)))
    kind = dataset(fault, found=Discovery([], {"notes.npy": "not in the table"}))
    samples = [fault, *(recording(n) for n in range(1, 8))]
    write_shard(tmp_path / "a.parquet", samples[:5])
    write_shard(tmp_path / "b.parquet", samples[5:])
    manifest = {
        "samples": 8,
        "skipped": {"notes.npy": "not in the table"},
        "shards": [{"file": "a.parquet"}, {"file": "b.parquet"}],
    }
    store = Store(tmp_path, manifest)
    found = list(check_store(kind, store).lines())
    assert found == lines(kind) and len(found) == 4
    assert list(check_store(kind, store, limit=2).lines()) == found  # the first and the last


@pytest.mark.parametrize(
    ("limit", "chosen"), [(0, [0, 1, 2, 3, 4]), (9, [0, 1, 2, 3, 4]), (2, [0, 4]), (3, [0, 2, 4])]
)
def test_a_limit_spreads(limit: int, chosen: list[int]) -> None:
    assert list(spread(range(5), limit)) == chosen


def test_good_recordings_of_a_sensor_raise_no_alarm(shared: Callable[[str], Path]) -> None:
    found = check_raw(registry.load_dataset("ntu60"), shared("data/ntu_sample"))
    heads = [line.partition(" (")[0] for line in found.lines() if not line.startswith("  ")]
    assert heads == [  # two recordings of 56,880
        "warning: classes without a recording: 58",
        "warning: empty parts of splits",
    ]
