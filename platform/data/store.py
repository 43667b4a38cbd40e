"""The store: a data set's recordings as Parquet shards plus `manifest.json`, neutral and complete.

One row per recording. Bodies lie frame after frame in the order of each frame's list, so that
nothing of the files is lost and nothing of a method's taste is in it. Columns: see SCHEMA.
"""

from __future__ import annotations

import hashlib
import json
import numbers
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skelray.platform.dataset import Dataset, SkeletonSample, Splits
from skelray.platform.errors import DataError

VERSION = 2
MANIFEST = "manifest.json"
SPLITS = "splits.json"

_ARRAYS: dict[str, pa.DataType] = {
    "frame_bodies": pa.int32(),  # (T,)
    "xyz": pa.float32(),  # (B, V, C)
    "body_id": pa.int64(),  # (B,)
    "body_header": pa.float32(),  # (B, H)
    "joint_state": pa.int8(),  # (B, V)
    "color_xy": pa.float32(),  # (B, V, 2)
    "score": pa.float32(),  # (B, V)
}
_SCALARS: dict[str, pa.DataType] = {
    "label": pa.int32(),
    "subject": pa.int32(),
    "camera": pa.int32(),
    "setup": pa.int32(),
    "replication": pa.int32(),
    "fps": pa.float32(),
    "height": pa.int32(),
    "width": pa.int32(),
    "clip": pa.string(),
}
_PLAIN: dict[pa.DataType, type] = {  # what a recording may have in these columns
    pa.int32(): numbers.Integral,
    pa.float32(): numbers.Real,
    pa.string(): str,
}
SCHEMA = pa.schema(
    [pa.field("id", pa.string(), nullable=False)]
    + [pa.field(name, kind) for name, kind in _SCALARS.items()]
    + [pa.field(name, pa.large_list(kind)) for name, kind in _ARRAYS.items()]
)


def check_sample(sample: SkeletonSample, dataset: type[Dataset]) -> None:
    """DataError unless the sample's fields fit the data set's skeleton and each other."""
    _check_types(sample)
    if sample.frame_bodies.ndim != 1 or np.any(sample.frame_bodies < 0):
        raise DataError(f"{sample.id}: frame_bodies is not a number of bodies for each frame")
    bodies = int(np.sum(sample.frame_bodies))
    for name, per_body in _body_shapes(dataset).items():
        value, expected = getattr(sample, name), (bodies, *per_body)
        if value is not None and value.shape != expected:
            raise DataError(f"{sample.id}: {name} has shape {value.shape}, expected {expected}")
    if sample.frames == 0:
        raise DataError(f"{sample.id}: the recording has no frames")
    if bodies == 0 and dataset.joints:
        raise DataError(f"{sample.id}: no frame holds a body")
    if bodies and not dataset.joints:
        raise DataError(f"{sample.id}: a frame holds a body, {dataset.name} says joints = False")
    if not np.isfinite(sample.xyz).all():
        raise DataError(f"{sample.id}: a joint coordinate is not a finite number")
    if sample.label is not None and not 0 <= sample.label < len(dataset.classes):
        raise DataError(
            f"{sample.id}: label {sample.label} is outside 0..{len(dataset.classes) - 1}"
        )


def _check_types(sample: SkeletonSample) -> None:
    """DataError where a field is of a type that does not go into its column."""
    if not isinstance(sample.id, str):
        raise DataError(f"{sample.id!r}: id is of type {type(sample.id).__name__}, expected str")
    for name, kind in _SCALARS.items():
        value, fits = getattr(sample, name), _PLAIN[kind]
        if value is not None and not isinstance(value, fits):
            found = type(value).__name__
            raise DataError(f"{sample.id}: {name} is of type {found}, expected {fits.__name__}")
    for name, kind in _ARRAYS.items():
        value, whole = getattr(sample, name), pa.types.is_integer(kind)
        if value is None and name not in ("frame_bodies", "xyz"):
            continue
        if not isinstance(value, np.ndarray) or value.dtype.kind not in ("iu" if whole else "fiu"):
            found = f"{value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
            expected = "whole numbers" if whole else "numbers"
            raise DataError(f"{sample.id}: {name} is {found}, expected an array of {expected}")


def _body_shapes(dataset: type[Dataset]) -> dict[str, tuple[int, ...]]:
    """The shape of one body's share of each array that has a row per body."""
    joints = dataset.skeleton.n_joints
    return {
        "xyz": (joints, dataset.skeleton.dimensions),
        "body_id": (),
        "body_header": (len(dataset.header),),
        "joint_state": (joints,),
        "color_xy": (joints, 2),
        "score": (joints,),
    }


def meaning(dataset: type[Dataset]) -> dict[str, Any]:
    """What a store's numbers mean: where it changes, the same files make another store."""
    return {
        "reader": dataset.version,
        "classes": list(dataset.classes),
        "joints": list(dataset.skeleton.joints) if dataset.joints else [],
        "dimensions": dataset.skeleton.dimensions,
    }


def write_shard(path: Path, samples: Iterable[SkeletonSample]) -> tuple[int, str]:
    """Writes one Parquet file atomically; returns its number of rows and their `digest`."""
    columns: dict[str, list[Any]] = {name: [] for name in SCHEMA.names}
    digest = hashlib.sha256()
    for sample in samples:
        _update(digest, sample)
        columns["id"].append(sample.id)
        for name in _SCALARS:
            columns[name].append(_plain(sample, name))
        for name in _ARRAYS:
            value = getattr(sample, name)
            columns[name].append(None if value is None else np.ravel(value))
    table = pa.table(
        {f.name: pa.array(columns[f.name], type=f.type) for f in SCHEMA}, schema=SCHEMA
    )
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    pq.write_table(table, scratch, compression="zstd", use_dictionary=False)
    scratch.replace(path)
    return table.num_rows, digest.hexdigest()


def _update(digest: hashlib._Hash, sample: SkeletonSample) -> None:
    """Adds what a recording says; not how Parquet writes it, nor where on a disk its clip lies."""
    scalars = [_plain(sample, name) for name in _SCALARS if name != "clip"]
    digest.update(json.dumps([sample.id, *scalars]).encode())
    for name, kind in _ARRAYS.items():
        value = getattr(sample, name)
        if value is not None:
            digest.update(f"{name} {value.shape}".encode())
            digest.update(np.ascontiguousarray(value, dtype=kind.to_pandas_dtype()).tobytes())


def _plain(sample: SkeletonSample, name: str) -> Any:
    """A field as Python's own number or text: readers often have NumPy's."""
    value = getattr(sample, name)
    return value.item() if isinstance(value, np.generic) else value


@dataclass(frozen=True)
class Store:
    """A prepared data set, opened for reading."""

    path: Path
    manifest: dict[str, Any]

    @classmethod
    def open(cls, path: Path, dataset: type[Dataset] | None = None) -> Store:
        """Opens a store; DataError says what to do where it is missing or of another version.

        With the data set that is to be in it, what its numbers mean has to agree too.
        """
        try:
            manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise DataError(
                f"no prepared data set at {path}: run `skelray prepare` first"
            ) from None
        except ValueError as error:
            raise DataError(
                f"{path / MANIFEST} is damaged ({error}): prepare it again with --fresh"
            ) from None
        if manifest.get("version") != VERSION:
            raise DataError(
                f"{path} has store version {manifest.get('version')}, this skelray reads "
                f"{VERSION}: prepare it again with --fresh"
            )
        if dataset is not None:
            _check_meaning(path, manifest, dataset)
        return cls(path, manifest)

    @property
    def version(self) -> str:
        """Identity of the contents: equal for equal recordings, wherever they were prepared."""
        return str(self.manifest["data_version"])

    @property
    def splits(self) -> Splits:
        """The splits that came with the recordings: name -> part (train, test) -> ids."""
        file = self.path / SPLITS
        splits: Splits = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        return splits

    @property
    def shards(self) -> list[Path]:
        """The Parquet files in order."""
        return [self.path / shard["file"] for shard in self.manifest["shards"]]


def _check_meaning(path: Path, manifest: dict[str, Any], dataset: type[Dataset]) -> None:
    for name, value in meaning(dataset).items():
        if manifest.get(name) != value:
            raise DataError(
                f"{path} was prepared with another {name} than {dataset.name} has now: prepare it "
                "again with --fresh"
            )


def read_columns(path: Path, names: Sequence[str] | None = None) -> pa.Table:
    """These columns of one shard, all where none are named; DataError where it is damaged."""
    try:
        return pq.read_table(path, schema=SCHEMA, columns=names)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(
            f"{path} cannot be read ({error}): prepare the data set again with --fresh"
        ) from None


def read_shard(path: Path, dataset: type[Dataset]) -> Iterator[SkeletonSample]:
    """The samples of one shard in order, arrays in their shapes."""
    table = read_columns(path)
    shapes = _body_shapes(dataset)
    columns = {name: table.column(name) for name in SCHEMA.names}
    for row in range(table.num_rows):
        values: dict[str, Any] = {"id": columns["id"][row].as_py()}
        for name in _SCALARS:
            values[name] = columns[name][row].as_py()
        for name in _ARRAYS:
            cell = columns[name][row]
            if cell.is_valid:
                values[name] = cell.values.to_numpy().reshape(-1, *shapes.get(name, ()))
        if values["height"] is None and dataset.picture:
            values["height"], values["width"] = dataset.picture
        yield SkeletonSample(**values)
