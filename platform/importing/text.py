"""Frames from CSV text: one row per frame, or per person and frame."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.csv

from skelray.platform.errors import DataError
from skelray.platform.importing.frames import Layout
from skelray.platform.raw import LARGEST

FRAME, PERSON = "frame", "person"

_SHOWN = 100  # characters of a header in a message


def read_csv(content: bytes, layout: Layout, where: str) -> np.ndarray:
    """The array (T, M, V, numbers per joint) float32 of a CSV file; empty and `nan` are NaN.

    Without a header a row is a frame: V times the numbers of a joint, joint after joint. A header
    names columns `JOINT_x`, `JOINT_y` …, in any order (in joint names, blanks may be underscores).
    Columns `frame` and `person`, whole numbers, may say which frame and whose body a row is: frames
    are counted from the first to the last that occurs, persons from 0. Other columns are not read.

    Raises:
        DataError: a column is missing, or a value is no number; names `where` and the row.
    """
    header = _header(content, where)
    wanted = [f"{j}_{c}" for j in map(_plain, layout.skeleton.joints) for c in layout.columns]
    columns = _read(content, header, wanted, where)
    rows = np.stack([columns[name] for name in wanted], axis=-1, dtype=np.float32)
    rows = rows.reshape(-1, layout.skeleton.n_joints, layout.width)
    person = columns.get(PERSON, np.zeros(len(rows), dtype=np.int64))
    frame = columns.get(FRAME, np.arange(len(rows)))
    return _placed(rows, frame, person, where)


def _plain(name: str) -> str:
    return re.sub(r"[\s-]+", "_", name.strip().lower())


def _header(content: bytes, where: str) -> list[str] | None:
    """The names in the first line, several; None where it holds numbers."""
    line = content.partition(b"\n")[0]
    try:
        (fields,) = csv.reader(io.StringIO(line.decode("utf-8-sig").rstrip("\r")))
    except (UnicodeDecodeError, csv.Error):
        raise DataError(f"{where}: not CSV in UTF-8") from None
    except ValueError:  # the line is empty
        raise DataError(f"{where}: the first line is empty") from None
    if all(map(_is_number, fields)):
        return None
    if len(fields) == 1:
        raise DataError(
            f"{where}: the first line has no comma: a frame is a line of numbers, with a decimal "
            "point, with commas between"
        )
    return [_plain(field) for field in fields]


def _is_number(field: str) -> bool:
    try:
        float(field.strip() or "nan")
    except ValueError:
        return False
    return True


def _read(
    content: bytes, header: Sequence[str] | None, wanted: Sequence[str], where: str
) -> dict[str, np.ndarray]:
    """The columns `wanted`, float32, and `frame` and `person`, int64, where they are there."""
    names = wanted if header is None else header
    if missing := [name for name in wanted if name not in names]:
        found = f"{', '.join(map(repr, names[:3]))}, …"
        raise DataError(
            f"{where}: the first line is no row of numbers, but {found[:_SHOWN]}, without a column "
            f"{missing[0]!r}: name all {len(wanted)}, or leave the header out"
        )
    if twice := [name for name in (*wanted, FRAME, PERSON) if names.count(name) > 1]:
        raise DataError(f"{where}: the header has two columns {twice[0]!r}")
    numbers = [name for name in (FRAME, PERSON) if name in names]
    kinds = dict.fromkeys(wanted, pa.float32()) | dict.fromkeys(numbers, pa.int64())
    try:
        table = pa.csv.read_csv(
            pa.BufferReader(content),
            read_options=pa.csv.ReadOptions(
                use_threads=False,
                column_names=list(names),
                skip_rows=0 if header is None else 1,
                block_size=max(1, min(len(content), 2**24)),
            ),
            convert_options=pa.csv.ConvertOptions(column_types=kinds, include_columns=list(kinds)),
        )
    except pa.ArrowInvalid as error:
        raise DataError(f"{where}: {' '.join(str(error).split())}") from None
    for name in numbers:
        if table.column(name).null_count:
            raise DataError(f"{where}: column {name!r} has an empty field")
    return {name: table.column(name).to_numpy() for name in kinds}


def _placed(rows: np.ndarray, frame: np.ndarray, person: np.ndarray, where: str) -> np.ndarray:
    """Rows (R, V, …) at their frames and persons, (T, M, V, …); NaN where there is no row."""
    if not len(rows):
        return np.empty((0, 1, *rows.shape[1:]), dtype=np.float32)
    if first_person := person.min():  # from 1 on, each frame's first person would be nobody
        raise DataError(f"{where}: the first person is {first_person}: count persons from 0")
    shape = (int(frame.max()) - int(frame.min()) + 1, int(person.max()) + 1, *rows.shape[1:])
    if np.prod([float(size) for size in shape]) * rows.itemsize > LARGEST:
        raise DataError(
            f"{where}: {shape[0]} frames of {shape[1]} persons are more than {LARGEST} bytes: "
            "number frames and persons without large gaps"
        )
    place = (frame - frame.min()) * shape[1] + person
    first = np.unique(place, return_index=True)[1]
    if len(first) < len(place):
        row = int(np.setdiff1d(np.arange(len(place)), first)[0])
        raise DataError(
            f"{where}: frame {frame[row]} has two rows of person {person[row]}: a column "
            f"{PERSON!r} tells bodies of one frame apart"
        )
    placed = np.full((shape[0] * shape[1], *rows.shape[1:]), np.nan, dtype=np.float32)
    placed[place] = rows
    return placed.reshape(shape)
