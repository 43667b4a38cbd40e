"""What lies below SKELRAY_HOME: prepared data sets, caches, what an interruption left; its removal.

Stores:   stores/NAME[-SIZE], unfinished ones NAME.partial (a later `prepare` goes on with them).
Caches:   caches/STORE-VERSION/PREPROCESSING, unfinished ones PREPROCESSING.partial-PROCESS.
Features: caches/features/HASH.parquet, unfinished ones .HASH.parquet.PROCESS.
Clips:    clips/STORE/KIND, without a manifest while they are unfinished.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from skelray.platform import paths
from skelray.platform.data.clips import MANIFEST as CLIPS_MANIFEST
from skelray.platform.data.clips import ClipStore
from skelray.platform.data.source import store_path
from skelray.platform.data.store import MANIFEST, Store
from skelray.platform.dataset import Dataset
from skelray.platform.errors import DataError
from skelray.platform.tables import size_text

DAY = 24 * 3600.0  # seconds without a change after which unfinished work counts as abandoned

_FEATURES = "features"
_PARTIAL = ".partial"


@dataclass(frozen=True)
class Entry:
    """A file or folder below SKELRAY_HOME and what it holds."""

    path: Path
    holds: str
    finished: bool = True

    @cached_property
    def size(self) -> int:
        """Bytes of its files."""
        return folder_size(self.path)

    @property
    def abandoned(self) -> bool:
        """True for unfinished work on which nothing has changed for a day."""
        return not self.finished and time.time() - _last_change(self.path) > DAY


def folder_size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder; what vanishes meanwhile counts nothing."""
    return sum(about.st_size for about in _stats(path))


def find_store(dataset: type[Dataset], size: str) -> Store:
    """The prepared data set; DataError says how to prepare it, or which sizes are prepared."""
    path = store_path(dataset, size)
    if (path / MANIFEST).exists():
        return Store.open(path, dataset)
    name = f"{dataset.name} of size {size}" if size else dataset.name
    how = "--size SIZE" if dataset().generated else "--raw FOLDER"
    others = [entry.path.name for entry in stores() if _belongs(entry.path, dataset.name)]
    there = f" (prepared are {', '.join(others)})" if others else ""
    raise DataError(
        f"data set {name} is not prepared{there}: run `skelray prepare {dataset.name} {how}` first"
    )


def stores() -> list[Entry]:
    """Finished stores, whether this version of skelray can read them or not."""
    folders = [path for path in _children(paths.stores()) if (path / MANIFEST).exists()]
    return [Entry(path, "recordings") for path in folders if path.suffix != _PARTIAL]


def caches(dataset: str = "") -> list[Entry]:
    """Caches of all data sets or of one, unfinished ones among them.

    Features belong to checkpoints and are listed only where no data set is named, like caches of
    stores that are gone.
    """
    versions = _versions(dataset)
    found = []
    for folder in _children(paths.caches()):
        if folder.name == _FEATURES:
            holds = "" if dataset else "cached features of checkpoints"
        elif folder.name in versions:
            holds = f"cached preprocessing of {versions[folder.name]}"
        else:
            holds = "" if dataset else "cached preprocessing of a store that is gone"
        found += [_cached(path, holds) for path in _children(folder) if holds]
    return found


def unfinished_stores(dataset: str = "") -> list[Entry]:
    """Preparations under way or interrupted, of all data sets or of one."""
    folders = [path for path in _children(paths.stores()) if path.suffix == _PARTIAL]
    return [
        Entry(path, f"unfinished preparation of {path.stem}", finished=False)
        for path in folders
        if not dataset or _belongs(path.with_suffix(""), dataset)
    ]


def clips(dataset: str = "") -> list[Entry]:
    """Clips of all data sets or of one, unfinished ones among them."""
    found = []
    for folder in _children(paths.clips()):
        if not dataset or _belongs(folder, dataset):
            for path in _children(folder):
                finished = (path / CLIPS_MANIFEST).exists()
                holds = f"clips of {folder.name}"
                found.append(Entry(path, holds if finished else f"unfinished {holds}", finished))
    return found


def open_clips(path: Path) -> ClipStore:
    """Finished clips; DataError where they are damaged or not of the store as it is now."""
    return ClipStore.open(path, Store.open(paths.stores() / path.parent.name).version)


def removable(dataset: str = "", *, with_clips: bool = False) -> list[Entry]:
    """What can be made again: caches, unfinished work that is abandoned, and clips.

    Clips take hours and need the videos, unfinished ones are mostly there: none where not asked.
    """
    entries = _passing(dataset, with_clips)
    return [entry for entry in entries if entry.finished or entry.abandoned]


def recent(dataset: str = "", *, with_clips: bool = False) -> list[Entry]:
    """Unfinished work that may still be under way."""
    entries = _passing(dataset, with_clips)
    return [entry for entry in entries if not (entry.finished or entry.abandoned)]


def _passing(dataset: str, with_clips: bool) -> list[Entry]:
    """All but stores and runs."""
    made = clips(dataset) if with_clips else []
    return [*caches(dataset), *unfinished_stores(dataset), *made]


def remove(entry: Entry) -> None:
    """Deletes it, and its parent folder where that is empty then; DataError where it cannot."""
    try:
        if entry.path.is_dir() and not entry.path.is_symlink():
            shutil.rmtree(entry.path)
        else:
            entry.path.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"{error.filename} cannot be removed: {error.strerror}") from None
    with suppress(OSError):  # not empty
        entry.path.parent.rmdir()


def store_lines(dataset: type[Dataset]) -> Iterator[str]:
    """Where a data set is prepared, how large it, its clips and caches are: for `skelray list`."""
    found = [entry for entry in stores() if _belongs(entry.path, dataset.name)]
    for entry in found:
        yield f"  prepared: {_contents(entry.path)}, {size_text(entry.size)} in {entry.path}"
    if not found:
        yield "  not prepared"
    made = clips(dataset.name)
    for entry in made:
        if entry.finished:
            yield f"  {_contents_of_clips(entry.path)}, {size_text(entry.size)} in {entry.path}"
    yield from (f"  {line}" for line in lines(entry for entry in made if not entry.finished))
    yield from (f"  {line}" for line in lines(unfinished_stores(dataset.name)))
    yield from (f"  {line}" for line in lines(caches(dataset.name)))


def other_lines(datasets: Sequence[str]) -> Iterator[str]:
    """What else there is: features, and what belongs to none of these data sets."""
    theirs = {entry.path for dataset in datasets for entry in _all_of(dataset)}
    others = [*stores(), *clips(), *unfinished_stores(), *caches()]
    yield from lines([entry for entry in others if entry.path not in theirs])


def lines(entries: Iterable[Entry]) -> Iterator[str]:
    """A line for each folder and kind of contents: how many entries, how large."""
    groups: dict[tuple[str, Path], list[Entry]] = {}
    for entry in entries:
        groups.setdefault((entry.holds, entry.path.parent), []).append(entry)
    for (holds, folder), group in groups.items():
        size = size_text(sum(entry.size for entry in group))
        place = group[0].path if len(group) == 1 else f"{folder} ({len(group)})"
        yield f"{holds}: {size} in {place}"


def _all_of(dataset: str) -> list[Entry]:
    own = [entry for entry in stores() if _belongs(entry.path, dataset)]
    return [*own, *clips(dataset), *unfinished_stores(dataset), *caches(dataset)]


def _cached(path: Path, holds: str) -> Entry:
    finished = _PARTIAL not in path.name and not path.name.startswith(".")
    return Entry(path, holds if finished else f"unfinished {holds}", finished)


def _contents(path: Path) -> str:
    try:
        manifest = Store.open(path).manifest
    except DataError as error:
        return str(error)
    return f"{manifest['samples']:,} recordings, {len(manifest['skipped']):,} skipped"


def _contents_of_clips(path: Path) -> str:
    try:
        found = open_clips(path)
    except DataError as error:
        return f"clips {path.name}: {error}"
    return f"clips {path.name}: {len(found):,}, {len(found.manifest['skipped']):,} skipped"


def _versions(dataset: str) -> dict[str, str]:
    """Version -> name of the stores that can be read, of all data sets or of one."""
    found = {}
    for entry in stores():
        with suppress(DataError):
            store = Store.open(entry.path)
            if not dataset or _belongs(entry.path, dataset):
                found[store.version] = entry.path.name
    return found


def _belongs(path: Path, dataset: str) -> bool:
    """True for the folder of this data set, or of one of its sizes."""
    return path.name == dataset or path.name.startswith(f"{dataset}-")


def _children(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _stats(path: Path) -> Iterator[os.stat_result]:
    files = path.rglob("*") if path.is_dir() else [path]
    for file in files:
        with suppress(FileNotFoundError):
            about = file.lstat()
            if file.is_file():
                yield about


def _last_change(path: Path) -> float:
    """Seconds since the epoch: of the newest file, or of the folder itself."""
    with suppress(FileNotFoundError):
        return max([path.stat().st_mtime, *(about.st_mtime for about in _stats(path))])
    return time.time()  # it has just been finished and renamed
