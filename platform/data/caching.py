"""Fills caches: one preprocessing over a whole store in parallel Ray tasks, in constant memory."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray.data

from skelray.platform.data import store
from skelray.platform.data.cache import Cache, cache_path
from skelray.platform.dataset import Dataset, SkeletonSample
from skelray.platform.errors import DataError, SkelrayError, UsageError
from skelray.platform.method.draws import key_of
from skelray.platform.preprocessing import Preprocessing
from skelray.platform.preprocessing.no_joints import NO_JOINTS
from skelray.platform.progress import progress_bar

_FIELDS = ("label", "subject", "camera", "setup", "replication", "fps", "clip")


def build(source: store.Store, dataset: type[Dataset], preprocessing: Preprocessing) -> Cache:
    """Opens the cache of this store and preprocessing, making it first where it is not there.

    One Ray Data task per shard, then one sequential copy into the flat file: memory does not grow
    with the data set. Ray must be connected where it has to be made. UsageError where joints are
    asked of videos alone.
    """
    if not dataset.joints and preprocessing.name != NO_JOINTS:
        raise UsageError(
            f"recordings of {dataset.name} have no joints, which preprocessing "
            f"{preprocessing.name} reads: choose a method or settings that read RGB clips alone"
        )
    target = cache_path(source, preprocessing)
    if not (target / "index.arrow").exists():
        partial = target.with_name(f"{target.name}.partial-{os.getpid()}")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            parts = _write_parts(source, dataset, preprocessing, partial)
            _merge(parts, partial)
            with suppress(OSError):  # another run has finished the same cache meanwhile
                partial.rename(target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return Cache.open(target)


def _write_parts(
    source: store.Store, dataset: type[Dataset], preprocessing: Preprocessing, folder: Path
) -> list[Path]:
    shards = zip(source.shards, source.manifest["shards"], strict=True)
    rows = [
        {"shard": os.fspath(path), "number": number}
        for number, (path, shard) in enumerate(shards)
        if shard["rows"]  # all recordings of a shard may be damaged
    ]

    def work(row: dict[str, Any]) -> dict[str, Any]:
        part = folder / f"part-{int(row['number']):05d}.arrow"
        try:
            count = _write_part(Path(row["shard"]), dataset, preprocessing, part)
        except SkelrayError as error:  # Ray would bury its line in tracebacks
            return {"part": "", "rows": 0, "error": str(error)}
        return {"part": os.fspath(part), "rows": count, "error": ""}

    results = ray.data.from_items(rows, override_num_blocks=len(rows)).map(work, num_cpus=0.5)
    parts = []
    with progress_bar(
        f"preprocess {preprocessing.name}", source.manifest["samples"], "recordings"
    ) as bar:
        for result in results.iter_rows():
            if result["error"]:
                raise DataError(result["error"])
            parts.append(Path(result["part"]))
            bar.update(result["rows"])
    return sorted(parts)


def _write_part(
    shard: Path, dataset: type[Dataset], preprocessing: Preprocessing, part: Path
) -> int:
    rows = [_row(sample, dataset, preprocessing) for sample in store.read_shard(shard, dataset)]
    _write_arrow(part, pa.Table.from_pylist(rows, schema=_part_schema(rows[0])))
    return len(rows)


def _write_arrow(path: Path, table: pa.Table) -> None:
    with pa.OSFile(os.fspath(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def _row(
    sample: SkeletonSample, dataset: type[Dataset], preprocessing: Preprocessing
) -> dict[str, Any]:
    done = preprocessing(sample, dataset.skeleton)
    if not np.isfinite(done.frames).all():
        raise DataError(f"{sample.id}: preprocessing {preprocessing.name} gave a number not finite")
    known = {name: getattr(sample, name) for name in _FIELDS}
    filled = {name: -1 if value is None else value for name, value in known.items()}
    filled["clip"] = sample.clip or ""
    return {
        "id": sample.id,
        "key": key_of(sample.id),
        **filled,
        "frames": len(done.frames),
        "length": done.length,
        **{f"scalar/{name}": float(value) for name, value in done.scalars.items()},
        "shape": list(done.frames.shape[1:]),
        "values": np.ravel(done.frames),
        "present": np.ravel(done.present).astype(np.uint8),
        "score": [] if done.score is None else np.ravel(done.score),
    }


def _part_schema(row: dict[str, Any]) -> pa.Schema:
    kinds: dict[str, pa.DataType] = {
        "id": pa.string(),
        "clip": pa.string(),
        "fps": pa.float32(),
        "shape": pa.list_(pa.int32()),
        "values": pa.large_list(pa.float32()),
        "present": pa.large_list(pa.uint8()),
        "score": pa.large_list(pa.float32()),
    }
    scalar = {name: pa.float64() for name in row if name.startswith("scalar/")}
    return pa.schema([(name, (kinds | scalar).get(name, pa.int64())) for name in row])


def _merge(parts: list[Path], folder: Path) -> None:
    """Turns the parts into one index and one flat buffer of all frames; the parts are removed."""
    tables = [pa.ipc.open_file(pa.memory_map(os.fspath(part))).read_all() for part in parts]
    shape = tuple(tables[0].column("shape")[0].as_py())
    flat = {
        "frames": ("values", np.float32, int(np.prod(shape))),
        "present": ("present", np.uint8, shape[0]),
    }
    if _scored(tables):
        flat["score"] = ("score", np.float32, shape[0] * shape[1])
    total = sum(int(np.sum(table.column("frames").to_numpy())) for table in tables)
    columns = {}
    for name, (source, kind, width) in flat.items():
        scratch = folder / f"{name}.raw"
        buffer = np.memmap(scratch, dtype=kind, mode="w+", shape=(total * width,))
        _fill(buffer, (chunk for table in tables for chunk in table.column(source).chunks))
        columns[name] = pa.FixedSizeListArray.from_arrays(pa.array(buffer), width)
    of_frames = ["shape", "values", "present", "score"]
    index = pa.concat_tables([table.drop_columns(of_frames) for table in tables])
    _write_arrow(folder / "index.arrow", index.combine_chunks())
    del tables, index
    for part in parts:
        part.unlink()  # the disk holds all frames twice here, not three times
    schema = pa.schema(
        [(name, column.type) for name, column in columns.items()],
        metadata={"shape": " ".join(map(str, shape))},
    )
    _write_arrow(folder / "frames.arrow", pa.table(list(columns.values()), schema=schema))
    for name in flat:
        (folder / f"{name}.raw").unlink()


def _scored(tables: list[pa.Table]) -> bool:
    """True where the poses carry scores; DataError where only some do."""
    empty = [pc.equal(pc.list_value_length(table.column("score")), 0) for table in tables]
    without = sum(pc.sum(one).as_py() for one in empty)
    recordings = sum(table.num_rows for table in tables)
    if 0 < without < recordings:
        raise DataError(
            f"{without} of {recordings} recordings have no scores: prepare them all with scores, "
            "or leave the scores out in preprocessing"
        )
    return without == 0


def _fill(buffer: np.ndarray, chunks: Iterator[pa.Array]) -> None:
    start = 0
    for chunk in chunks:
        values = chunk.flatten().to_numpy()
        buffer[start : start + len(values)] = values
        start += len(values)
    assert start == len(buffer)
