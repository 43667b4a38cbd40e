"""The store: what is written is read back to the bit, and what does not fit is refused."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skelray.platform.data import store
from skelray.platform.dataset import SkeletonSample
from skelray.platform.errors import DataError
from tests.platform.data.recordings import Walks, walk


def assert_same(read: SkeletonSample, written: SkeletonSample) -> None:
    for field in fields(SkeletonSample):
        ours, theirs = getattr(read, field.name), getattr(written, field.name)
        if isinstance(theirs, np.ndarray):
            assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape), field.name
            assert ours.tobytes() == theirs.tobytes(), field.name
        else:
            assert ours == theirs and type(ours) is type(theirs), field.name


def test_everything_is_read_back_to_the_bit(tmp_path: Path) -> None:
    exact = walk(1)
    exact.xyz[0, 0] = [1e-45, -0.0, np.nextafter(np.float32(1), np.float32(2))]
    least = SkeletonSample(
        id="least", frame_bodies=np.array([0, 3, 0], dtype=np.int32), xyz=walk(2).xyz[:3]
    )
    samples = [exact, least, walk(3)]
    rows, _ = store.write_shard(tmp_path / "a.parquet", iter(samples))
    assert rows == 3
    for read, written in zip(store.read_shard(tmp_path / "a.parquet", Walks), samples, strict=True):
        assert_same(read, written)
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]


def test_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    theirs = replace(walk(1), label=np.int64(1), subject=np.uint8(1), fps=np.float64(30))
    store.check_sample(theirs, Walks)
    digests = [store.write_shard(tmp_path / "a.parquet", [s])[1] for s in (walk(1), theirs)]
    assert digests[0] == digests[1]
    (read,) = store.read_shard(tmp_path / "a.parquet", Walks)
    assert_same(read, walk(1))


def test_the_digest_names_what_recordings_say(tmp_path: Path) -> None:
    def digest(sample: SkeletonSample) -> str:
        return store.write_shard(tmp_path / "a.parquet", [sample])[1]

    known = digest(walk(1))
    assert digest(replace(walk(1), clip="elsewhere.avi")) == known
    moved = walk(1).xyz
    moved[0, 0, 0] = np.nextafter(moved[0, 0, 0], np.float32(9))
    size = {"height": 480, "width": 640}
    for change in (size, {"label": None}, {"id": "other"}, {"xyz": moved}, {"body_id": None}):
        assert digest(replace(walk(1), **change)) != known


def test_a_shard_without_recordings_is_read(tmp_path: Path) -> None:
    assert store.write_shard(tmp_path / "a.parquet", [])[0] == 0
    assert list(store.read_shard(tmp_path / "a.parquet", Walks)) == []


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    store.write_shard(tmp_path / "a.parquet", [walk(0)])
    whole = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(whole[:-20])
    with pytest.raises(DataError, match=r"a\.parquet cannot be read .* again with --fresh"):
        list(store.read_shard(tmp_path / "a.parquet", Walks))
    with pytest.raises(DataError, match=r"b\.parquet cannot be read"):
        list(store.read_shard(tmp_path / "b.parquet", Walks))


BODIES = int(walk(4).frame_bodies.sum())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"xyz": walk(4).xyz[1:]}, rf"xyz has shape \({BODIES - 1}, 20, 3\), expected \({BODIES},"),
        ({"xyz": walk(4).xyz[:, :5]}, r"xyz has shape .*, 5, 3\), expected .*, 20, 3\)"),
        ({"xyz": walk(4).xyz[..., :2]}, r"xyz has shape .*, 20, 2\)"),
        ({"body_id": np.arange(2)}, rf"body_id has shape \(2,\), expected \({BODIES},\)"),
        (
            {"body_header": np.zeros((BODIES, 3))},
            r"body_header has shape .*, 3\), expected .*, 2\)",
        ),
        ({"joint_state": walk(4).joint_state[:, 1:]}, r"joint_state has shape .*, 19\)"),
        ({"score": np.ones((BODIES, 2))}, r"score has shape .*, 2\), expected .*, 20\)"),
        ({"color_xy": walk(4).xyz}, r"color_xy has shape .*, 20, 3\), expected .*, 20, 2\)"),
        ({"xyz": walk(4).xyz * np.float32(np.inf)}, "a joint coordinate is not a finite number"),
        ({"label": 3}, r"label 3 is outside 0\.\.2"),
        ({"label": 1.0}, "label is of type float, expected Integral"),
        ({"subject": "3"}, "subject is of type str, expected Integral"),
        ({"fps": "30"}, "fps is of type str, expected Real"),
        ({"clip": Path("a.avi")}, "clip is of type PosixPath, expected str"),
        ({"frame_bodies": [1, 1]}, "frame_bodies is list, expected an array of whole numbers"),
        ({"frame_bodies": np.ones(4)}, "frame_bodies is float64, expected an array of whole num"),
        ({"frame_bodies": -walk(4).frame_bodies}, "frame_bodies is not a number of bodies for"),
        ({"xyz": None}, "xyz is NoneType, expected an array of numbers"),
        ({"xyz": walk(4).xyz.astype(object)}, "xyz is object, expected an array of numbers"),
        ({"label": -1}, r"label -1 is outside 0\.\.2"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], message: str) -> None:
    store.check_sample(walk(4), Walks)
    with pytest.raises(DataError, match=f"004: {message}"):
        store.check_sample(replace(walk(4), **changes), Walks)


@pytest.mark.parametrize(
    ("frames", "message"), [(0, "the recording has no frames"), (3, "no frame holds a body")]
)
def test_recordings_without_a_body_are_refused(frames: int, message: str) -> None:
    empty = SkeletonSample(
        id="e",
        frame_bodies=np.zeros(frames, dtype=np.int32),
        xyz=np.zeros((0, 20, 3), dtype=np.float32),
    )
    with pytest.raises(DataError, match=f"e: {message}"):
        store.check_sample(empty, Walks)


def test_videos_alone_hold_no_body() -> None:
    class Alone(Walks):
        joints = False

    empty = replace(
        walk(4),
        frame_bodies=np.zeros(5, dtype=np.int32),
        **{name: getattr(walk(4), name)[:0] for name in store._body_shapes(Walks)},
    )
    store.check_sample(empty, Alone)
    with pytest.raises(DataError, match="004: a frame holds a body, walks says joints = False"):
        store.check_sample(walk(4), Alone)
    assert store.meaning(Alone) != store.meaning(Walks)


def test_open_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no prepared data set at .* run `skelray prepare` first"):
        store.Store.open(tmp_path)
    manifest = tmp_path / store.MANIFEST
    for damaged in (b'{"version": ', b"\xff\xfe\x00"):
        manifest.write_bytes(damaged)
        with pytest.raises(DataError, match=r"manifest\.json is damaged .* again with --fresh"):
            store.Store.open(tmp_path)
    manifest.write_text(json.dumps({"version": 99}))
    with pytest.raises(DataError, match="has store version 99, this skelray reads 2: prepare it"):
        store.Store.open(tmp_path)
    known = {"version": 2, "data_version": "abc", "shards": [{"file": "p.parquet"}]}
    known |= store.meaning(Walks)
    for name, value in (("reader", 7), ("classes", ["right", "left", "round"]), ("joints", [])):
        manifest.write_text(json.dumps(known | {name: value}))
        with pytest.raises(DataError, match=f"with another {name} than walks has now: prepare it"):
            store.Store.open(tmp_path, Walks)
        assert store.Store.open(tmp_path).version == "abc"
    manifest.write_text(json.dumps(known))
    opened = store.Store.open(tmp_path, Walks)
    assert opened.version == "abc"
    assert opened.shards == [tmp_path / "p.parquet"]
