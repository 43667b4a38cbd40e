"""From raw files to batches through Ray: prepare, cache, stream; one Ray for the whole module."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from skelray.datasets.ntu.dataset import NTU60
from skelray.platform.data import caching
from skelray.platform.data.loading import ResidentData, ResidentLoader, Sampling
from skelray.platform.data.prepare import prepare
from skelray.platform.data.store import VERSION, Store, read_shard
from skelray.platform.data.streaming import StreamingLoader
from skelray.platform.dataset import SkeletonSample
from skelray.platform.errors import DataError, UsageError
from skelray.platform.method import Batch, key_of
from skelray.platform.preprocessing import Preprocessing
from tests.platform.data.recordings import Walks, write_walks

COUNT = 40  # three shards of 16, 16 and 8
RAGGED = Preprocessing(name="first_bodies")
SCORED = Preprocessing(name="first_bodies", parameters={"scores": "all"})
FIXED = Preprocessing(name="body_centred", parameters={"persons": 2, "frames": 5})

pytestmark = pytest.mark.usefixtures("ray_here")


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings of which all of the first shard and one of the second are damaged."""
    folder = tmp_path_factory.mktemp("recordings") / "raw"
    write_walks(folder, COUNT)
    for number in (*range(16), 20):
        (folder / f"{number:03d}.walk").write_text("scratched")
    return folder


@pytest.fixture(scope="module")
def store(raw: Path) -> Store:
    return prepare(Walks, raw, raw.parent / "store")


def samples(store: Store) -> list[SkeletonSample]:
    return [sample for shard in store.shards for sample in read_shard(shard, Walks)]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_damaged_recordings_are_skipped_with_their_reason(store: Store, raw: Path) -> None:
    manifest = store.manifest
    assert manifest["samples"] == COUNT - 17
    assert [shard["rows"] for shard in manifest["shards"]] == [0, 15, 8]
    assert [sample.id for sample in samples(store)] == [
        f"{number:03d}" for number in range(16, COUNT) if number != 20
    ]
    damaged = [f"{number:03d}" for number in (*range(16), 20)]
    assert sorted(manifest["skipped"]) == [*damaged, "notes.txt"]
    assert manifest["skipped"]["notes.txt"] == "no recording"
    assert manifest["skipped"]["020"] == (
        f"{raw / '020.walk'}, line 1: expected a number, found 'scratched'"
    )


def test_nothing_but_damaged_recordings_is_an_error(tmp_path: Path) -> None:
    write_walks(tmp_path / "raw", 2)
    for file in (tmp_path / "raw").iterdir():
        file.write_text("scratched")
    with pytest.raises(DataError, match=r"all 2 recordings below .* damaged: .*000\.walk, line 1"):
        prepare(Walks, tmp_path / "raw", tmp_path / "store")
    assert not (tmp_path / "store").exists()
    (tmp_path / "raw" / "001.walk").write_text("1")  # repaired: no earlier report is in the way
    assert prepare(Walks, tmp_path / "raw", tmp_path / "store").manifest["samples"] == 1


def test_a_reader_that_yields_nothing_is_an_error(tmp_path: Path) -> None:
    write_walks(tmp_path / "raw", 2)
    for file in (tmp_path / "raw").iterdir():
        file.write_text("nothing")
    with pytest.raises(DataError, match=r"all 2 recordings .*: Walks\.read yields none"):
        prepare(Walks, tmp_path / "raw", tmp_path / "store")


def test_a_folder_without_recordings_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no recording of walks below .*; made up"):
        prepare(Walks, tmp_path, tmp_path / "store")


def test_the_same_recordings_give_the_same_bytes_anywhere(
    store: Store, raw: Path, tmp_path: Path
) -> None:
    copied = shutil.copytree(raw, tmp_path / "copied")
    again = prepare(Walks, copied, tmp_path / "store")
    assert again.version == store.version
    ours, theirs = contents(again.path), contents(store.path)
    parquet = [name for name in ours if name.endswith(".parquet")]
    assert len(parquet) == 3
    assert all(ours[name] == theirs[name] for name in parquet)


def test_a_finished_store_is_only_opened(store: Store, raw: Path) -> None:
    before = (store.path / "manifest.json").stat().st_mtime_ns
    assert prepare(Walks, raw, store.path).manifest == store.manifest
    assert (store.path / "manifest.json").stat().st_mtime_ns == before


def test_interrupted_work_goes_on(store: Store, raw: Path, tmp_path: Path) -> None:
    partial = shutil.copytree(store.path, tmp_path / "store.partial")
    for name in ("manifest.json", "part-00001.json", "part-00001.parquet", "part-00002.json"):
        (partial / name).unlink()
    kept = (partial / "part-00000.parquet").stat().st_ino
    assert contents(prepare(Walks, raw, tmp_path / "store").path) == contents(store.path)
    assert (tmp_path / "store" / "part-00000.parquet").stat().st_ino == kept
    assert not partial.exists()


def test_a_crash_leaves_what_the_next_call_completes(tmp_path: Path) -> None:
    write_walks(tmp_path / "raw", COUNT)
    whole = prepare(Walks, tmp_path / "raw", tmp_path / "whole")
    (tmp_path / "raw" / "020.walk").write_text("crash")
    with pytest.raises(Exception, match="the reader itself is wrong"):
        prepare(Walks, tmp_path / "raw", tmp_path / "store")
    assert not (tmp_path / "store").exists()
    (tmp_path / "raw" / "020.walk").write_text("20")
    prepare(Walks, tmp_path / "raw", tmp_path / "store")
    assert contents(tmp_path / "store") == contents(whole.path)


def test_work_on_another_list_is_not_taken_over(tmp_path: Path, raw: Path, store: Store) -> None:
    partial = shutil.copytree(store.path, tmp_path / "store.partial")
    (partial / "manifest.json").unlink()
    write_walks(tmp_path / "raw", 3)
    assert prepare(Walks, tmp_path / "raw", tmp_path / "store").manifest["samples"] == 3


@pytest.mark.parametrize("preprocessing", [RAGGED, FIXED, SCORED], ids=lambda p: p.key())
def test_a_cache_holds_what_preprocessing_gives(store: Store, preprocessing: Preprocessing) -> None:
    cache = caching.build(store, Walks, preprocessing)
    expected = samples(store)
    assert len(cache) == len(expected)
    assert not cache.frames.flags.owndata and not cache.frames.flags.writeable
    assert not cache.present.flags.owndata
    for row, sample in enumerate(expected):
        done = preprocessing(sample, Walks.skeleton)
        frames = slice(cache.offsets[row], cache.offsets[row + 1])
        assert cache.frames[frames].tobytes() == done.frames.tobytes()
        assert np.array_equal(cache.present[frames], done.present)
        score = None if cache.score is None else cache.score[frames]
        assert np.array_equal(score, done.score)
        assert cache.index["length"][row] == done.length
        assert {n: v[row] for n, v in cache.scalars.items()} == {
            name: np.float32(value) for name, value in done.scalars.items()
        }
        values = {name: cache.index[name][row] for name in ("id", "key", "label", "subject", "fps")}
        assert values == {
            "id": sample.id,
            "key": key_of(sample.id),
            "label": sample.label,
            "subject": sample.subject,
            "fps": 30,
        }
        assert cache.index["setup"][row] == -1 and cache.index["clip"][row] == sample.clip


def test_a_cache_is_made_once(store: Store) -> None:
    path = caching.build(store, Walks, FIXED).path
    before = (path / "frames.arrow").stat().st_ino
    assert caching.build(store, Walks, FIXED).path == path
    assert (path / "frames.arrow").stat().st_ino == before
    assert {file.name for file in path.iterdir()} == {"frames.arrow", "index.arrow"}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"wrong": "030"}, "030: preprocessing first_bodies gave a number not finite"),
        ({"refused": "030"}, "030 is refused"),
    ],
)
def test_a_failing_preprocessing_gives_its_line_and_leaves_nothing(
    store: Store, parameters: dict[str, str], message: str
) -> None:
    preprocessing = Preprocessing(name="first_bodies", parameters=parameters)
    with pytest.raises(DataError, match=f"^{message}$"):
        caching.build(store, Walks, preprocessing)
    left = [p for p in caching.cache_path(store, preprocessing).parent.iterdir()]
    assert not [path for path in left if preprocessing.key() in path.name]


def assert_same_batch(ours: Batch, theirs: Batch) -> None:
    for field in fields(Batch):
        a, b = getattr(ours, field.name), getattr(theirs, field.name)
        if isinstance(a, Tensor):
            assert a.dtype == b.dtype and torch.equal(a, b), field.name
        elif field.name != "skeletons":
            assert a == b, field.name
    assert ours.skeletons.keys() == theirs.skeletons.keys()
    for name, ragged in ours.skeletons.items():
        other = theirs.skeletons[name]
        for part in ("frames", "offsets", "present", "length"):
            assert torch.equal(getattr(ragged, part), getattr(other, part)), (name, part)
        assert (ragged.score is None) == (other.score is None) == (name == FIXED.key())
        assert ragged.score is None or torch.equal(ragged.score, other.score)
        assert ragged.scalars.keys() == other.scalars.keys()
        assert all(torch.equal(v, other.scalars[k]) for k, v in ragged.scalars.items())


def test_streamed_batches_equal_resident_ones(store: Store) -> None:
    caches = {p.key(): caching.build(store, Walks, p) for p in (SCORED, FIXED)}
    sampling = Sampling(
        rows=np.arange(1, 22), seed=5, batch=8, last="pad", rank=1, world=2, labels=True, parts=2
    )
    cpu = torch.device("cpu")
    streamed = list(StreamingLoader(caches, sampling, cpu)(2))
    resident = list(ResidentLoader(ResidentData(caches, cpu), sampling)(2))
    assert [[len(part) for part in parts] for parts in resident] == [[2, 2], [2, 2], [2, 1]]
    for ours, theirs in zip(streamed, resident, strict=True):
        for part, other in zip(ours, theirs, strict=True):
            assert_same_batch(part, other)


def test_scores_of_some_recordings_only_are_refused(store: Store) -> None:
    some = Preprocessing(name="first_bodies", parameters={"scores": "021"})
    with pytest.raises(DataError, match="22 of 23 recordings have no scores: prepare them all"):
        caching.build(store, Walks, some)


def test_the_manifest_is_for_reading(store: Store) -> None:
    text = (store.path / "manifest.json").read_text(encoding="utf-8")
    manifest = json.loads(text)
    assert manifest["dataset"] == "walks" and manifest["version"] == VERSION
    assert text.count("\n") > len(manifest)


def parse_slowly(file: Path) -> list[list[list[str]]]:
    """Per frame the bodies' joint lines, split: read line by line, on its own."""
    lines = iter(file.read_text().splitlines())
    frames = []
    for _ in range(int(next(lines))):
        bodies = []
        for _ in range(int(next(lines))):
            next(lines)  # the body's header
            bodies.append([next(lines).split() for _ in range(int(next(lines)))])
        frames.append(bodies)
    return frames


def test_real_ntu_recordings_are_stored_joint_for_joint(
    shared: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = shared("data/ntu_sample")
    done = prepare(NTU60, folder, tmp_path / "store")
    stored = {s.id: s for shard in done.shards for s in read_shard(shard, NTU60)}
    assert sorted(stored) == ["S001C001P001R001A001", "S001C003P008R002A058"]
    for name, sample in stored.items():
        frames = parse_slowly(folder / f"{name}.skeleton")
        assert list(sample.frame_bodies) == [len(bodies) for bodies in frames]
        joints = np.array([[line for line in body] for bodies in frames for body in bodies])
        assert np.array_equal(sample.xyz, joints[..., :3].astype(np.float64).astype(np.float32))
        assert sample.color_xy is not None and sample.joint_state is not None
        assert np.array_equal(sample.color_xy, joints[..., 5:7].astype(np.float32))
        assert np.array_equal(sample.joint_state, joints[..., 11].astype(np.int8))
    assert stored["S001C001P001R001A001"].frames == 103
    assert stored["S001C003P008R002A058"].label == 57
    assert set(stored["S001C003P008R002A058"].frame_bodies) == {2}
