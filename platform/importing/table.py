"""`recordings.csv`: what a table says of each recording, one row per file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skelray.platform.errors import DataError
from skelray.platform.raw import RawItem

NAME = "recordings"  # of the table, without `.csv`
COLUMNS = ("id", "label", "subject", "camera", "setup", "replication", "fps", "clip")
PARTS = ("train", "test")

_NUMBERS = ("subject", "camera", "setup", "replication")
_SPLIT = "split"


@dataclass(frozen=True)
class Table:
    """Rows by id, as text; what could not be used is in `skipped` with the reason."""

    where: str
    folder: str  # that paths in it start from
    rows: dict[str, Mapping[str, str]]
    splits: tuple[str, ...]  # columns that say who trains and who tests
    skipped: dict[str, str] = field(default_factory=dict)

    def details(self, id: str) -> str:
        """The row for `RawItem.details`."""
        return json.dumps([self.where, self.folder, self.rows[id]])

    def split(self, column: str, ids: Sequence[str]) -> dict[str, list[str]]:
        """The parts of a split: of these ids those with the value `train`, and with `test`."""
        return {part: [id for id in ids if self.rows[id][column] == part] for part in PARTS}


def _is_split(column: str) -> bool:
    return column == _SPLIT or column.startswith(f"{_SPLIT}_")


def split_name(column: str) -> str:
    """`split` is a protocol of that name, `split_NAME` one named NAME."""
    return column.removeprefix(f"{_SPLIT}_")


def read_table(item: RawItem) -> Table:
    """Reads a table; DataError where it is no UTF-8 CSV with a column `id`."""
    lines = _lines(item)
    header = [name.lower() for name in lines[0][1]] if lines else []
    if "id" not in header or len(set(header)) < len(header):
        raise DataError(
            f"{item.where}: the first line is {', '.join(header)[:100]!r}: it must name columns, "
            "each once, 'id' among them, with commas between"
        )
    splits = tuple(filter(_is_split, header))
    table = Table(item.where, str(Path(item.path).parent), {}, splits)
    name = Path(item.member or item.path).name
    for column in header:
        if column not in (*COLUMNS, *splits):
            known = ", ".join((*COLUMNS, _SPLIT, f"{_SPLIT}_NAME"))
            table.skipped[f"{name}, column {column!r}"] = f"not read: columns are {known}"
    for number, values in lines[1:]:
        if reason := _refusal(values, header, table):
            table.skipped[f"{name}, line {number}"] = reason
        else:
            row = dict(zip(header, values, strict=True)) | {"line": str(number)}
            table.rows[row["id"]] = row
    return table


def _lines(item: RawItem) -> list[tuple[int, list[str]]]:
    """The rows that are not empty, with the numbers of their lines."""
    try:
        text = item.read_bytes().decode("utf-8-sig")
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        return [(reader.line_num, [value.strip() for value in row]) for row in reader if row]
    except UnicodeDecodeError:
        raise DataError(f"{item.where}: not UTF-8: save the table as CSV in UTF-8") from None
    except csv.Error as error:
        raise DataError(f"{item.where}: not a CSV table ({error})") from None


def _refusal(values: Sequence[str], header: Sequence[str], table: Table) -> str | None:
    """Why a row is left out, None where it is not."""
    if len(values) != len(header):
        return f"it has {len(values)} values, the first line {len(header)} columns"
    id = values[header.index("id")]
    if not id:
        return "the id is empty"
    if id in table.rows:
        return f"{id!r} is in line {table.rows[id]['line']} already"
    return None


def read_details(details: str, classes: Sequence[str]) -> dict[str, Any]:
    """The fields of a `SkeletonSample` that a row gives; DataError names the line and the value.

    A label is a class name or its number from 0; an empty field is unknown.
    """
    where, folder, row = json.loads(details)
    where = f"{where}, line {row['line']} ({row['id']})"
    for column, value in row.items():
        if _is_split(column) and value not in ("", *PARTS):
            raise DataError(f"{where}: {column} is {value!r}, expected train, test or nothing")
    fields: dict[str, Any] = {"label": _label(row.get("label", ""), classes, where)}
    for name in _NUMBERS:
        fields[name] = _whole(row.get(name, ""), name, where)
    fields["fps"] = _rate(row.get("fps", ""), where)
    clip = row.get("clip", "")
    fields["clip"] = str(Path(folder, clip)) if clip else None
    return fields


def _label(text: str, classes: Sequence[str], where: str) -> int | None:
    if not text:
        return None
    if text in classes:
        return classes.index(text)
    if (number := _number(text)) is not None and number < len(classes):
        return number
    known = f"one of the {len(classes)} class names or a number from 0 to {len(classes) - 1}"
    expected = known if classes else "nothing, as the data set names no classes"
    raise DataError(f"{where}: label is {text!r}, expected {expected}")


def _whole(text: str, name: str, where: str) -> int | None:
    if not text:
        return None
    if (number := _number(text)) is not None:
        return number
    raise DataError(f"{where}: {name} is {text!r}, expected a whole number from 0")


def _number(text: str) -> int | None:
    """A whole number that the store's 32 bits hold; None where the text is none."""
    return int(text) if text.isdecimal() and len(text) < 10 else None


def _rate(text: str, where: str) -> float | None:
    try:
        rate = float(text) if text else None
    except ValueError:
        rate = 0.0
    if rate is None or 0 < rate < 1e6:
        return rate
    raise DataError(f"{where}: fps is {text!r}, expected frames per second")
