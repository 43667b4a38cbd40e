"""Files and the rows of their table brought together: what a folder's recordings are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath

from skelray.platform.dataset import Discovery, RawItem
from skelray.platform.errors import DataError
from skelray.platform.importing import table

ALL = "all"  # the split in which every recording trains: for pretraining without labels
CSV = ".csv"  # a table's ending


def suffix(item: RawItem) -> str:
    """The ending of an item's file, in lower case."""
    return PurePath(item.member or item.path).suffix.lower()


def is_table(item: RawItem) -> bool:
    """True for `recordings.csv`."""
    return item.id == table.NAME and suffix(item) == CSV


def hidden(stem: str) -> str | None:
    """Why a file is left out: systems leave hidden files of the same ending (`._NAME.npy`)."""
    return "a hidden file" if stem.startswith(".") else None


def listed(
    items: Sequence[RawItem],
    tables: Sequence[RawItem],
    skipped: Mapping[str, str],
    suffixes: Sequence[str],
) -> Discovery:
    """The recordings of these files, with their rows in `details`; all, where there is no table.

    Files without a row and rows without a file are left out. Splits are the table's columns `split`
    and `split_NAME`, and `all`, where everything trains. DataError where the table cannot be read,
    or is among the `skipped`.
    """
    _refuse_lost_table(skipped)
    if not tables:
        return Discovery(items, skipped, {ALL: _everything(items)})
    rows = table.read_table(tables[0])
    kept = [replace(item, details=rows.details(item.id)) for item in items if item.id in rows.rows]
    skipped = {**skipped, **rows.skipped, **_without_file(rows, items, suffixes)}
    skipped |= {i.id: f"not in {rows.where}" for i in items if i.id not in rows.rows}
    ids = [item.id for item in kept]
    splits = {table.split_name(column): rows.split(column, ids) for column in rows.splits}
    return Discovery(kept, skipped, {ALL: _everything(kept), **splits})


def _refuse_lost_table(skipped: Mapping[str, str]) -> None:
    """DataError where a table is left out: without it recordings would seem to be unlabelled."""
    for name, reason in skipped.items():
        if name.replace(": ", "/").split("/")[-1] == f"{table.NAME}{CSV}":
            raise DataError(f"{name}: {reason}: keep one table {table.NAME}{CSV}")


def _without_file(
    rows: table.Table, items: Sequence[RawItem], suffixes: Sequence[str]
) -> dict[str, str]:
    """The rows of which there is no file, with the reason."""
    ids = {item.id for item in items}
    *most, last = suffixes
    return {
        id: f"{rows.where}, line {row['line']}: "
        + (
            "the id is a file's name without its ending"
            if PurePath(id).suffix.lower() in suffixes
            else f"no file {id}{', '.join(most)} or {last}"
        )
        for id, row in rows.rows.items()
        if id not in ids
    }


def _everything(items: Sequence[RawItem]) -> dict[str, list[str]]:
    return {"train": [item.id for item in items], "test": []}
