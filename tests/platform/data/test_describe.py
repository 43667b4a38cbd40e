"""Describing a store: every figure of a hand-made one, and which recordings are shown."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from skelray.platform.data.describe import Description, _choose, describe, examples, protocols
from skelray.platform.data.store import SPLITS
from skelray.platform.data.summary import summary
from skelray.platform.errors import DataError, UsageError
from tests.platform.data.recordings import Walks, walk
from tests.platform.data.stores import recording, write_store

SKIPPED = {
    "a.walk": "/raw/a.walk, line 3: expected a number, found 'x'",
    "b.walk": "/raw/b.walk, line 17: expected a number, found 'y z'",
    "notes.txt": "no recording",
}


def states(*counts: int) -> np.ndarray:
    """One body of 20 joints, so many of them lost, inferred and tracked."""
    return np.repeat(np.arange(3, dtype=np.int8), counts)[None]


@pytest.fixture
def described(tmp_path: Path) -> Description:
    """Six frames, seven bodies; the second shard is empty, all its recordings were damaged."""
    known = recording("full", [1], label=0, subject=1, camera=1, setup=4, fps=10.0,
                      joint_state=states(2, 3, 15))  # fmt: skip
    pair = recording("pair", [2, 0, 3], label=2, subject=2, camera=1, fps=10.0)
    score = np.full((1, 20), 0.75, dtype=np.float32)
    score[0, :5] = 0
    least = recording("least", [0, 1], score=score)
    store = write_store(tmp_path / "walks", [[known, pair], [], [least]], skipped=SKIPPED)
    return describe(Walks, store)


def test_every_number_by_hand(described: Description) -> None:
    assert len(described) == 3
    assert described.tally("label") == {-1: 1, 0: 1, 2: 1}
    assert described.tally("subject") == {-1: 1, 1: 1, 2: 1}
    assert described.tally("camera") == {-1: 1, 1: 2}
    assert described.tally("setup") == {-1: 2, 4: 1}
    assert described.column("frames").tolist() == [1, 3, 2]
    assert described.column("bodies").tolist() == [1, 3, 1]
    assert described.column("empty").tolist() == [0, 1, 1]
    assert described.column("id").tolist() == ["full", "pair", "least"]
    np.testing.assert_array_equal(described.column("fps"), [10, 10, np.nan])
    counts = described.counts
    assert counts.frames.tolist() == [2, 2, 1, 1]
    assert counts.joints.tolist() == [2, 3, 15]
    assert (counts.scores, counts.score_zero, counts.score_sum) == (20, 5, 11.25)


def test_counts_equal_those_of_the_samples(tmp_path: Path) -> None:
    """The same figures counted sample by sample in Python, over recordings of several shards."""
    walks = [walk(number) for number in range(40)]
    store = write_store(tmp_path / "walks", [walks[:16], walks[16:32], walks[32:]])
    described = describe(Walks, store)
    bodies = [count for sample in walks for count in sample.frame_bodies.tolist()]
    assert described.counts.frames.tolist() == [bodies.count(n) for n in range(4)]
    joints = np.concatenate([sample.joint_state.ravel() for sample in walks])
    assert described.counts.joints.tolist() == np.bincount(joints).tolist()
    assert described.column("bodies").tolist() == [max(s.frame_bodies) for s in walks]
    assert described.tally("label") == Counter(sample.label for sample in walks)
    assert described.tally("subject") == Counter(sample.subject for sample in walks)


def test_the_text_says_it_all(described: Description) -> None:
    text = summary(described, protocols(Walks, described.store))
    assert [line for line in text.splitlines() if "--" not in line and line][2:] == [
        "  skipped a.walk: /raw/a.walk, line 3: expected a number, found 'x' (and 1 like it)",
        "  skipped notes.txt: no recording",
        f"  3 skipped in all; reasons in {described.store.path / 'manifest.json'}",
        "length   shortest  5 %  median  95 %  longest   total",
        "frames          1    1       2     3        3       6",
        "seconds       0.1  0.1     0.2   0.3      0.3  0.00 h",
        "2 recordings at 10 frames a second",
        "1 recordings of unknown frame rate",
        "                      frames     %  recordings     %",
        "no body                    2  33.3           2  66.7",
        "two or more bodies         2  33.3           1  33.3",
        "three or more bodies       1  16.7           1  33.3",
        "joints: 10.0 % lost, 15.0 % inferred, 75.0 % tracked",
        "joint scores: 0.562 on average, 25.0 % are 0",
        "class         label  recordings     %",
        "left              0           1  33.3",
        "round             2           1  33.3",
        "(unlabelled)                  1  33.3",
        "no recording of 1 of 3 classes: right",
        "subjects: 2 (number: recordings)",
        "  1: 1   2: 1",
        "  1 recordings name none",
        "cameras: 1 (number: recordings)",
        "  1: 2",
        "  1 recordings name none",
        "setups: 1 (number: recordings)",
        "  4: 1",
        "  2 recordings name none",
        "protocol  train  holdout  test",
        "xsub          2        1     1",
        "holdout lies inside train",
    ]
    assert text.splitlines()[0] == "walks: 3 recordings, 3 skipped"
    assert text.splitlines()[1].startswith(str(described.store.path))


def test_recordings_of_which_nothing_is_known(tmp_path: Path) -> None:
    store = write_store(tmp_path / "walks", [[recording("a", [1]), recording("b", [1, 1])]])
    described = describe(Walks, store)
    text = summary(described, protocols(Walks, store))
    assert "no recording names its subject" in text
    assert "(unlabelled)                  2  100.0" in text
    assert "joints:" not in text and "seconds" not in text
    assert "xsub          0        0     2" in text


def test_splits_that_came_with_the_files_are_counted(described: Description) -> None:
    splits = {"theirs": {"train": ["full", "least"], "test": ["gone"]}}
    (described.store.path / SPLITS).write_text(json.dumps(splits))
    own, theirs = protocols(Walks, described.store)
    assert (own.name, theirs.name) == ("xsub", "theirs")
    assert described.part(theirs, "train") == 2
    assert described.part(theirs, "test") == 0
    assert [split.name for split in protocols(Walks, described.store, "loso2")] == ["loso2"]
    with pytest.raises(UsageError, match="no protocol 'xview': choose one of xsub, theirs"):
        protocols(Walks, described.store, "xview")


def test_recordings_of_other_classes_are_not_counted(described: Description) -> None:
    (xsub,) = described.dataset.protocols
    parts = [replace(xsub, classes=(name,)) for name in described.dataset.classes]
    counted = [described.part(protocol, "train") for protocol in parts]
    assert sum(counted) == described.part(xsub, "train") and max(counted) < sum(counted)


def test_a_damaged_shard_is_named(described: Description) -> None:
    shard = described.store.shards[2]
    shard.write_bytes(shard.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"part-00002\.parquet cannot be read .* --fresh"):
        describe(Walks, described.store)


def test_a_label_without_a_class_is_an_error(tmp_path: Path) -> None:
    store = write_store(tmp_path / "walks", [[recording("a", [1], label=3)]])
    with pytest.raises(DataError, match="holds label 3, walks has 3 classes"):
        describe(Walks, store)


def test_examples_are_spread_over_the_classes(tmp_path: Path) -> None:
    walks = [walk(number) for number in range(40)]
    store = write_store(tmp_path / "walks", [walks[:16], [], walks[16:32], walks[32:]])
    described = describe(Walks, store)
    shown = examples(described, count=6, seed=0)
    assert [sample.label for sample in shown] == [0, 0, 1, 1, 2, 2]
    assert len({sample.id for sample in shown}) == 6
    for sample in shown:
        assert sample.xyz.tobytes() == walks[int(sample.id)].xyz.tobytes()
    again = examples(described, count=6, seed=0)
    assert [sample.id for sample in again] == [sample.id for sample in shown]
    others = examples(described, count=6, seed=1)
    assert [sample.id for sample in others] != [sample.id for sample in shown]
    assert len(examples(described, count=100, seed=0)) == 40


def test_the_choice_by_hand() -> None:
    label = np.array([5, 1, 1, -1, 9, 5, 7])
    keys = np.array([3, 9, 2, 1, 5, 8, 4])
    assert _choose(label, keys, 7) == [3, 1, 2, 0, 5, 6, 4]
    assert _choose(label, keys, 5) == [3, 2, 0, 6, 4]  # of each the lowest key
    assert _choose(label, keys, 6) == [3, 1, 2, 0, 6, 4]  # the first class gives a second one
    assert _choose(label, keys, 3) == [3, 0, 4]  # of -1, 1, 5, 7, 9: ends and middle
