"""`boxes.parquet`: the person box of every frame of every video, by sample id."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skelray.platform.errors import DataError

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string()),
        pa.field("boxes", pa.large_list(pa.float32())),  # F * 5: x1, y1, x2, y2, score by frame
        pa.field("height", pa.int32()),  # of the picture, in pixels
        pa.field("width", pa.int32()),
    ]
)
_ABOUT = b"skelray.boxes"  # the key of the file's metadata


@dataclass(frozen=True)
class VideoBoxes:
    """One box per frame of a video, and the size of its picture."""

    boxes: np.ndarray  # (F, 5) float32: x1, y1, x2, y2 in pixels, score; zeros: nobody
    height: int  # pixels
    width: int


class BoxesFile(Mapping[str, VideoBoxes]):
    """A read file: the boxes by sample id, views of one buffer; `about` says how they were made."""

    def __init__(self, table: pa.Table, about: Mapping[str, str]) -> None:
        columns = {name: table.column(name).combine_chunks() for name in SCHEMA.names}
        self.about = about
        self._rows = {id: row for row, id in enumerate(columns["id"].to_pylist())}
        self._starts = columns["boxes"].offsets.to_numpy()
        self._values = columns["boxes"].values.to_numpy()
        self._sizes = np.stack([columns[name].to_numpy() for name in ("height", "width")], axis=1)

    def __getitem__(self, id: str) -> VideoBoxes:
        row = self._rows[id]
        boxes = self._values[self._starts[row] : self._starts[row + 1]].reshape(-1, 5)
        height, width = self._sizes[row].tolist()
        return VideoBoxes(boxes, height, width)

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


def write_boxes(path: Path, boxes: Mapping[str, VideoBoxes], *, about: Mapping[str, str]) -> None:
    """Writes the file atomically, sorted by id, with the folders it needs.

    Args:
        path: the file.
        boxes: by sample id.
        about: how they were made, for whoever reads the file.
    """
    ids = sorted(boxes)
    columns: dict[str, list[Any]] = {
        "id": ids,
        "boxes": [np.ravel(boxes[id].boxes).astype(np.float32, copy=False) for id in ids],
        "height": [boxes[id].height for id in ids],
        "width": [boxes[id].width for id in ids],
    }
    table = pa.table(columns, schema=SCHEMA.with_metadata({_ABOUT: json.dumps(dict(about))}))
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        pq.write_table(table, scratch)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def read_boxes(path: Path) -> BoxesFile:
    """Reads a file that `write_boxes` wrote; DataError where it is missing, damaged or another."""
    try:
        table = pq.read_table(path)
        about = json.loads((table.schema.metadata or {}).get(_ABOUT, b"{}"))
    except FileNotFoundError:
        raise DataError(f"{path} is missing: make it with skelray boxes") from None
    except (pa.ArrowException, OSError, ValueError) as error:
        said = " ".join(str(error).split())
        raise DataError(
            f"{path} cannot be read ({said}): delete it and make it again with skelray boxes"
        ) from None
    if fault := _fault(table):
        raise DataError(f"{path}: {fault}: make it with skelray boxes")
    return BoxesFile(table, about)


def _fault(table: pa.Table) -> str | None:
    """What is wrong with a table of boxes, None where nothing is."""
    for field in SCHEMA:
        if field.name not in table.schema.names:
            return f"it has no column {field.name}"
        column = table.column(field.name)
        if column.type != field.type:
            return f"column {field.name} is of type {column.type}, expected {field.type}"
        if column.null_count:
            return f"a row has no {field.name}"
    ids, boxes = table.column("id").to_pylist(), table.column("boxes").combine_chunks()
    if twice := len(ids) - len(set(ids)):
        return f"{twice} ids are there twice"
    if len(ids) and (odd := np.flatnonzero(np.diff(boxes.offsets.to_numpy()) % 5)).size:
        row = int(odd[0])
        return f"{ids[row]} has {len(boxes[row])} numbers of boxes, expected 5 for each frame"
    if not np.isfinite(boxes.values.to_numpy(zero_copy_only=False)).all():
        return "a number of a box is not finite"
    return None
