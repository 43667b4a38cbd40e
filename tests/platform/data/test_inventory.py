"""What lies below SKELRAY_HOME: found, sized, told apart, and what of it is removed."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from skelray.platform.data import inventory
from skelray.platform.data.clips import write_index
from skelray.platform.data.describe import describe, protocols
from skelray.platform.data.inventory import Entry
from skelray.platform.data.store import MANIFEST
from skelray.platform.data.summary import summary
from skelray.platform.errors import DataError
from skelray.platform.paths import write_json
from tests.platform.data.recordings import Walks, walk
from tests.platform.data.stores import write_store

OWN, OTHER, GONE = "a" * 16, "b" * 16, "c" * 16  # versions of stores


def write(path: Path, size: int, *, hours_ago: float = 0.0) -> None:
    """A file of that size, in a folder of the same age."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    then = time.time() - 3600 * hours_ago
    for changed in (path, path.parent):
        os.utime(changed, (then, then))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two stores, caches of both and of a third that is gone, features, and interrupted work."""
    monkeypatch.setenv("SKELRAY_HOME", str(tmp_path))
    write_store(tmp_path / "stores/walks-tiny", [[walk(1), walk(2)]], version=OWN)
    write_store(tmp_path / "stores/walkers", [[walk(3)]], dataset="walkers", version=OTHER)
    caches = tmp_path / "caches"
    write(caches / OWN / "centred-1/frames.arrow", 2000)
    write(caches / OWN / "centred-1/index.arrow", 48)
    write(caches / OWN / "gone-2.partial-77/part-00000.arrow", 100, hours_ago=25)
    write(caches / OTHER / "centred-1/frames.arrow", 10)
    write(caches / GONE / "centred-1/frames.arrow", 20)
    write(caches / "features/0a.parquet", 5)
    write(caches / "features/.0b.parquet.77", 6, hours_ago=23)
    write(tmp_path / "stores/walks.partial/part-00000.parquet", 300, hours_ago=25)
    write(tmp_path / "stores/walkers.partial/part-00000.parquet", 400, hours_ago=23)
    write(tmp_path / "runs/some/state.pt", 1, hours_ago=99)
    (tmp_path / "stores/.walks.lock").touch()
    return tmp_path


def names(entries: list[Entry]) -> dict[str, int]:
    """Path below SKELRAY_HOME -> size."""
    root = Path(os.environ["SKELRAY_HOME"])
    return {entry.path.relative_to(root).as_posix(): entry.size for entry in entries}


def test_everything_is_found_with_its_size(home: Path) -> None:
    assert list(names(inventory.stores())) == ["stores/walkers", "stores/walks-tiny"]
    store = home / "stores/walks-tiny"
    expected = sum((store / name).stat().st_size for name in (MANIFEST, "part-00000.parquet"))
    assert inventory.folder_size(store) == expected
    assert names(inventory.caches()) == {
        f"caches/{OWN}/centred-1": 2048,
        f"caches/{OWN}/gone-2.partial-77": 100,
        f"caches/{OTHER}/centred-1": 10,
        f"caches/{GONE}/centred-1": 20,
        "caches/features/.0b.parquet.77": 6,
        "caches/features/0a.parquet": 5,
    }
    assert names(inventory.caches("walkers")) == {f"caches/{OTHER}/centred-1": 10}
    assert names(inventory.unfinished_stores("walks")) == {"stores/walks.partial": 300}


def test_a_home_that_does_not_exist_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKELRAY_HOME", str(tmp_path / "none"))
    assert inventory.stores() == inventory.removable() == inventory.recent() == []
    assert list(inventory.store_lines(Walks)) == ["  not prepared"]
    assert list(inventory.other_lines(["walks"])) == []
    assert not (tmp_path / "none").exists()


def test_caches_and_what_is_a_day_old_are_removable(home: Path) -> None:
    assert names(inventory.removable()) == {
        f"caches/{OWN}/centred-1": 2048,
        f"caches/{OWN}/gone-2.partial-77": 100,
        f"caches/{OTHER}/centred-1": 10,
        f"caches/{GONE}/centred-1": 20,
        "caches/features/0a.parquet": 5,
        "stores/walks.partial": 300,
    }
    assert names(inventory.recent()) == {
        "caches/features/.0b.parquet.77": 6,
        "stores/walkers.partial": 400,
    }
    assert list(names(inventory.removable("walks"))) == [
        f"caches/{OWN}/centred-1",
        f"caches/{OWN}/gone-2.partial-77",
        "stores/walks.partial",
    ]


def test_new_files_keep_unfinished_work(home: Path) -> None:
    write(home / "stores/walks.partial/deep/er", 1)
    then = time.time() - 3600 * 30
    for folder in ("stores/walks.partial", "stores/walks.partial/deep"):
        os.utime(home / folder, (then, then))
    assert "stores/walks.partial" in names(inventory.recent())


def test_removal_leaves_stores_and_runs(home: Path) -> None:
    before = names(inventory.stores())
    for entry in inventory.removable():
        inventory.remove(entry)
        inventory.remove(entry)  # another process has been faster
    assert inventory.removable() == []
    left = {path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()}
    assert {name for name in left if not name.startswith("stores/walk")} == {
        "caches/features/.0b.parquet.77",
        "runs/some/state.pt",
        "stores/.walks.lock",
    }
    assert names(inventory.stores()) == before
    assert [path.name for path in (home / "caches").iterdir()] == ["features"]


def test_what_cannot_be_removed_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", os.fspath(path))

    monkeypatch.setattr(inventory.shutil, "rmtree", refuse)
    with pytest.raises(DataError, match=r"centred-1 cannot be removed: Permission denied"):
        inventory.remove(inventory.removable()[0])


def test_the_lines_of_a_data_set(home: Path) -> None:
    store = home / "stores/walks-tiny"
    size = inventory.folder_size(store) / 1024
    assert list(inventory.store_lines(Walks)) == [
        f"  prepared: 2 recordings, 0 skipped, {size:.1f} KiB in {store}",
        f"  unfinished preparation of walks: 300 B in {home / 'stores/walks.partial'}",
        f"  cached preprocessing of walks-tiny: 2.0 KiB in {home / 'caches' / OWN / 'centred-1'}",
        "  unfinished cached preprocessing of walks-tiny: 100 B in "
        f"{home / 'caches' / OWN / 'gone-2.partial-77'}",
    ]


def test_the_other_lines_are_of_no_data_set(home: Path) -> None:
    write(home / "caches/features/0c.parquet", 7)
    walkers = home / "stores/walkers"
    assert list(inventory.other_lines(["walks"])) == [
        f"recordings: {inventory.folder_size(walkers) / 1024:.1f} KiB in {walkers}",
        f"unfinished preparation of walkers: 400 B in {home / 'stores/walkers.partial'}",
        f"cached preprocessing of walkers: 10 B in {home / 'caches' / OTHER / 'centred-1'}",
        "cached preprocessing of a store that is gone: 20 B in "
        f"{home / 'caches' / GONE / 'centred-1'}",
        "unfinished cached features of checkpoints: 6 B in "
        f"{home / 'caches/features/.0b.parquet.77'}",
        f"cached features of checkpoints: 12 B in {home / 'caches/features'} (2)",
    ]


def test_an_unreadable_store_says_why(home: Path) -> None:
    manifest = home / "stores/walks-tiny" / MANIFEST
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "version": 0}))
    line = next(inventory.store_lines(Walks))
    assert "has store version 0" in line and "--fresh" in line
    with pytest.raises(DataError, match="has store version 0"):
        inventory.find_store(Walks, "tiny")
    manifest.write_text("{")
    assert "is damaged" in next(inventory.store_lines(Walks))
    assert f"caches/{OWN}/centred-1" in names(inventory.removable())


def test_a_missing_store_says_how_to_prepare_it(home: Path) -> None:
    assert inventory.find_store(Walks, "tiny").path == home / "stores/walks-tiny"
    with pytest.raises(DataError) as caught:
        inventory.find_store(Walks, "")
    assert str(caught.value) == (
        "data set walks is not prepared (prepared are walks-tiny): "
        "run `skelray prepare walks --raw FOLDER` first"
    )


@pytest.fixture
def clipped(home: Path) -> Path:
    """Clips of one store, whole, of other recordings, and of which the making was interrupted."""
    folder = home / "clips/walks-tiny"
    for kind, version in (("person-64", OWN), ("whole-60", OTHER)):
        (folder / kind).mkdir(parents=True)
        write_index(folder / kind, [])
        skipped = {"002": "no video of 002"}
        about = {"version": 1, "data_version": version, "clips_version": "v", "skipped": skipped}
        write_json(folder / kind / "manifest.json", {**about, "other_lengths": {"001": "9, 8"}})
        write(folder / kind / "videos/00/001.mp4", 5000)
    write(folder / "whole-30/videos/00/001.mp4", 600, hours_ago=25)
    os.utime(folder / "whole-30", (0, 0))
    write(home / "clips/walkers/person-64/videos/00/001.mp4", 700)
    return folder


def test_clips_are_listed_with_their_store(clipped: Path) -> None:
    sizes = {kind: inventory.folder_size(clipped / kind) for kind in ("person-64", "whole-60")}
    stale, whole, unfinished = (list(inventory.store_lines(Walks))[n] for n in (2, 1, 3))
    assert whole == (
        f"  clips person-64: 0, 1 skipped, {sizes['person-64'] / 1024:.1f} KiB in "
        f"{clipped / 'person-64'}"
    )
    assert stale.startswith("  clips whole-60: ") and "made of other recordings" in stale
    assert "run `skelray prepare walks --size tiny --clips whole-60` first" in stale
    assert unfinished == f"  unfinished clips of walks-tiny: 600 B in {clipped / 'whole-30'}"
    others = [
        line for line in inventory.other_lines(["walks"]) if line.startswith("unfinished clips")
    ]
    assert others == [
        f"unfinished clips of walkers: 700 B in {clipped.parent / 'walkers/person-64'}"
    ]


def test_clips_are_removed_where_they_are_asked_for(clipped: Path) -> None:
    assert not any(name.startswith("clips") for name in names(inventory.removable()))
    asked = names(inventory.removable("walks", with_clips=True))
    assert [name for name in asked if name.startswith("clips")] == [
        "clips/walks-tiny/person-64",
        "clips/walks-tiny/whole-30",
        "clips/walks-tiny/whole-60",
    ]
    assert "clips/walkers/person-64" in names(inventory.recent(with_clips=True))
    for entry in inventory.removable(with_clips=True):
        inventory.remove(entry)
    assert [path.name for path in clipped.parent.iterdir()] == ["walkers"]


def test_a_description_says_what_clips_there_are(clipped: Path) -> None:
    store = inventory.find_store(Walks, "tiny")
    lines = summary(describe(Walks, store), protocols(Walks, store)).splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("0 clips in"))
    size = inventory.folder_size(clipped / "person-64") / 1024
    assert lines[start : start + 4] == [
        f"0 clips in {clipped / 'person-64'} ({size:.1f} KiB, version v)",
        "  skipped 002: no video of 002",
        f"  1 skipped in all; reasons in {clipped / 'person-64/manifest.json'}",
        "  1 clips are not as long as their poses: 001, 9, 8",
    ]
    assert lines[start + 4].startswith("clips whole-60: ")
    assert "made of other recordings" in lines[start + 4]
