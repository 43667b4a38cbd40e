"""The clip store: a data set's videos made small, one file per recording, and what each shows.

`person-SIZE` holds squares around the persons of SIZE x SIZE pixels, which training reads;
`whole-SIZE` whole pictures whose shorter side is SIZE pixels. `index.parquet` has a row per clip,
`manifest.json` says what was left out and why.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skelray.platform import paths
from skelray.platform.errors import DataError, UsageError
from skelray.platform.method.draws import key_of

VERSION = 1
RECIPE = 2  # of the pictures: raised where the same video and box would give others
MANIFEST = "manifest.json"
INDEX = "index.parquet"
VIDEOS = "videos"

_KIND = re.compile(r"(?P<shows>person|whole)-(?P<size>[1-9][0-9]{1,3})")
_COLUMNS: dict[str, pa.DataType] = {
    "id": pa.string(),
    "frames": pa.int64(),
    "rate": pa.float64(),  # frames per second
    "height": pa.int64(),  # of the clip's pictures
    "width": pa.int64(),
    "source_height": pa.int64(),
    "source_width": pa.int64(),
    "source": pa.string(),  # SHA-256 of its file
    "shown": pa.list_(pa.int64(), 4),  # box of the source's pictures that the clip shows
    "person": pa.list_(pa.int64(), 4),  # square around the persons there, of all frames
    "nbytes": pa.int64(),
}
SCHEMA = pa.schema([pa.field(name, kind, nullable=False) for name, kind in _COLUMNS.items()])


@dataclass(frozen=True)
class ClipKind:
    """What the clips of a store show, and how large."""

    shows: Literal["person", "whole"]
    size: int  # pixels: side of the square, or the shorter side

    @classmethod
    def parse(cls, name: str) -> ClipKind:
        """`person-256` or `whole-540`; UsageError where it is neither, or the size is odd."""
        found = _KIND.fullmatch(name)
        if not found or int(found["size"]) % 2:
            raise UsageError(
                f"clips {name!r}: name person-SIZE or whole-SIZE, an even number of pixels, such "
                "as person-256"
            )
        return cls("person" if found["shows"] == "person" else "whole", int(found["size"]))

    def __str__(self) -> str:
        return f"{self.shows}-{self.size}"


@dataclass(frozen=True)
class ClipStore:
    """The clips of a prepared data set, opened for reading."""

    path: Path
    manifest: dict[str, Any]
    columns: Mapping[str, np.ndarray]  # name -> (n,) or, for boxes, (n, 4)

    @classmethod
    def open(cls, path: Path, data_version: str) -> ClipStore:
        """The clips of the store of that version; DataError says what to do where they are not."""
        name = path.parent.name
        dataset, _, size = name.partition("-")
        sized = f"{dataset} --size {size}" if size else dataset
        make = f"run `skelray prepare {sized} --clips {path.name}` first"
        try:
            manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
            table = pq.read_table(path / INDEX, schema=SCHEMA)
        except FileNotFoundError:
            raise DataError(f"no clips at {path}: {make}") from None
        except (ValueError, pa.ArrowInvalid, OSError) as error:
            raise DataError(f"{path} is damaged ({error}): {make}") from None
        if manifest.get("version") != VERSION or manifest.get("data_version") != data_version:
            raise DataError(f"{path} was made of other recordings or by another skelray: {make}")
        columns = {
            field.name: _array(table.column(field.name).combine_chunks()) for field in SCHEMA
        }
        return cls(path, manifest, columns)

    def __len__(self) -> int:
        return len(self.columns["id"])

    @property
    def version(self) -> str:
        """Identity of the clips: equal where the same recordings show the same."""
        return str(self.manifest["clips_version"])

    def rows(self, ids: np.ndarray) -> np.ndarray:
        """The row (n,) of each of these recordings; -1 where it has no clip."""
        known = {name: row for row, name in enumerate(self.columns["id"])}
        return np.array([known.get(one, -1) for one in ids], dtype=np.int64)

    def file(self, row: int) -> Path:
        """The video of a row."""
        return self.path / file_of(self.columns["id"][row])


def clips_path(store: Path, kind: ClipKind) -> Path:
    """Where the clips of a prepared data set lie, whether they are there or not."""
    return paths.clips() / store.name / str(kind)


def file_of(recording: str) -> Path:
    """The video of a recording, below its store's folder; spread over 256 folders."""
    return Path(VIDEOS) / f"{key_of(recording) & 255:02x}" / f"{quote(recording, safe='')}.mp4"


def write_index(folder: Path, rows: list[dict[str, Any]]) -> str:
    """Writes the index in the order of the ids; returns the version of what the clips show."""
    ordered = sorted(rows, key=lambda row: str(row["id"]))
    table = pa.Table.from_pylist(ordered, schema=SCHEMA)
    scratch = folder / f".{INDEX}"
    pq.write_table(table, scratch)
    scratch.replace(folder / INDEX)
    # bytes may differ between versions of the encoder
    shows = [{name: row[name] for name in sorted(row) if name != "nbytes"} for row in ordered]
    return paths.short_hash([RECIPE, shows])


def _array(column: pa.Array) -> np.ndarray:
    if pa.types.is_fixed_size_list(column.type):
        flat: np.ndarray = column.flatten().to_numpy()
        return flat.reshape(-1, column.type.list_size)
    if pa.types.is_string(column.type):
        return np.array(column.to_pylist(), dtype=np.str_)
    values: np.ndarray = column.to_numpy(zero_copy_only=False)
    return values
