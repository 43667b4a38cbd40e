"""`ArrayFolder`: a data set of one array file per recording, in a few lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePath
from typing import ClassVar

from skelray.platform.dataset import (
    Dataset,
    Discovery,
    Protocol,
    RawItem,
    SkeletonSample,
    discover_files,
)
from skelray.platform.errors import DataError
from skelray.platform.importing import table
from skelray.platform.importing.arrays import Arrays, read_json, read_npy, read_npz
from skelray.platform.importing.frames import Bodies, Layout, bodies_of
from skelray.platform.importing.text import read_csv

ALL = "all"  # the split in which every recording trains: for pretraining without labels

_READERS = {".npy": read_npy, ".npz": read_npz, ".json": read_json}
_CSV = ".csv"
SUFFIXES = (*_READERS, _CSV)


class ArrayFolder(Dataset):
    """Array files below a folder or in zip archives, and a table `recordings.csv` of labels.

    A subclass names the data set, its skeleton, persons, classes and protocols. A recording's id is
    its file's name without the ending. With a table, recordings are the files that it lists;
    without one all files are, unlabelled. docs/adding-a-data-set.md describes files and table.
    """

    protocols: ClassVar[tuple[Protocol, ...]] = ()
    scored: ClassVar[bool] = False  # the last number of each joint is its score, not a coordinate

    def discover(self, raw: Path) -> Discovery:
        """Lists the recordings sorted by id; files without a row and rows without a file are not.

        Splits are the table's columns `split` and `split_NAME`, and `all`, where everything trains.
        DataError where the table cannot be read.
        """
        found = discover_files(raw, SUFFIXES, _refusal)
        _refuse_lost_table(found.skipped)
        items = [item for item in found.items if not _is_table(item)]
        tables = [item for item in found.items if _is_table(item)]
        if not tables:
            return Discovery(items, found.skipped, {ALL: _everything(items)})
        listed = table.read_table(tables[0])
        kept = [replace(i, details=listed.details(i.id)) for i in items if i.id in listed.rows]
        skipped = {**found.skipped, **listed.skipped, **_without_file(listed, items)}
        skipped |= {i.id: f"not in {listed.where}" for i in items if i.id not in listed.rows}
        ids = [item.id for item in kept]
        splits = {table.split_name(c): listed.split(c, ids) for c in listed.splits}
        return Discovery(kept, skipped, {ALL: _everything(kept), **splits})

    def read(self, item: RawItem) -> Iterator[SkeletonSample]:
        """Yields the one recording of a file, with what its row says; DataError names the fault."""
        fields = table.read_details(item.details, self.classes) if item.details else {}
        fields["fps"] = fields.get("fps") or self.fps
        yield SkeletonSample(id=item.id, **self._bodies(item)._asdict(), **fields)

    def _bodies(self, item: RawItem) -> Bodies:
        layout = Layout(skeleton=self.skeleton, scored=self.scored)
        content = item.read_bytes()
        suffix = _suffix(item)
        if suffix == _CSV:
            arrays = Arrays(read_csv(content, layout, item.where))
        elif suffix in _READERS:
            arrays = _READERS[suffix](content, item.where)
        else:
            raise DataError(f"{item.where}: not one of {', '.join(SUFFIXES)}")
        return bodies_of(arrays.values, arrays.score, layout, item.where)


def _suffix(item: RawItem) -> str:
    return PurePath(item.member or item.path).suffix.lower()


def _is_table(item: RawItem) -> bool:
    return item.id == table.NAME and _suffix(item) == _CSV


def _refuse_lost_table(skipped: Mapping[str, str]) -> None:
    """DataError where a table is left out: without it recordings would seem to be unlabelled."""
    for name, reason in skipped.items():
        if name.replace(": ", "/").split("/")[-1] == f"{table.NAME}{_CSV}":
            raise DataError(f"{name}: {reason}: keep one table {table.NAME}{_CSV}")


def _without_file(listed: table.Table, items: list[RawItem]) -> dict[str, str]:
    """The rows of which there is no file, with the reason."""
    ids = {item.id for item in items}
    return {
        id: f"{listed.where}, line {row['line']}: "
        + (
            "the id is a file's name without its ending"
            if PurePath(id).suffix.lower() in SUFFIXES
            else f"no file {id}.npy, .npz, .csv or .json"
        )
        for id, row in listed.rows.items()
        if id not in ids
    }


def _refusal(stem: str) -> str | None:
    """Why a file is left out: systems leave hidden files of the same ending (`._NAME.npy`)."""
    return "a hidden file" if stem.startswith(".") else None


def _everything(items: list[RawItem]) -> dict[str, list[str]]:
    return {"train": [item.id for item in items], "test": []}
