"""`prepare`: raw recordings to a store, in parallel Ray tasks, atomically and resumably.

The sorted list of recordings is cut into shards of fixed membership, so that the same recordings
give the same bytes however often the work was interrupted. A shard and its report appear by a
rename; one whose report names the same recordings in the same state is not made again. The folder
is renamed to its final name when all is there.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

import ray.data
from filelock import FileLock

from skelray.platform import paths
from skelray.platform.data import store
from skelray.platform.dataset import Dataset, Discovery, RawItem, SkeletonSample
from skelray.platform.errors import DataError, UsageError
from skelray.platform.progress import progress_bar

TASK_CPUS = 0.5  # that Ray reserves for a task, which makes one shard
_SHARD = 256  # recordings: about 40 MB of NTU


def prepare(dataset: type[Dataset], raw: Path, target: Path, *, fresh: bool = False) -> store.Store:
    """Makes the store `target` from the raw folder, or returns it where it is complete.

    Damaged recordings are skipped and listed with their reason in the manifest; DataError where
    nothing is left. Ray must be connected.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_name(f".{target.name}.lock")):  # two at once: the second opens
        if not (target / store.MANIFEST).exists() or fresh:
            _prepare(dataset, raw, target, fresh=fresh)
    return store.Store.open(target, dataset)


def _prepare(dataset: type[Dataset], raw: Path, target: Path, *, fresh: bool) -> None:
    discovery = _discover(dataset, raw)
    partial = target.with_name(f"{target.name}.partial")
    if fresh:
        shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True, exist_ok=True)
    shards = _shards(discovery.items)
    reports = _write_shards(dataset, shards, partial)
    _remove_others(partial, reports)
    if discovery.splits:
        paths.write_json(partial / store.SPLITS, discovery.splits)
    manifest = _manifest(dataset, raw, discovery, reports)
    if not manifest["samples"]:
        reasons = (why for report in reports for why in report["skipped"].values())
        reason = next(reasons, f"{dataset.__name__}.read yields none")
        raise DataError(f"all {len(discovery.items)} recordings below {raw} are damaged: {reason}")
    paths.write_json(partial / store.MANIFEST, manifest)
    if target.exists():
        shutil.rmtree(target)
    partial.rename(target)


def _discover(dataset: type[Dataset], raw: Path) -> Discovery:
    """The recordings below `raw`; UsageError says why the first file is none, if all are not."""
    discovery = dataset().discover(raw)
    if not discovery.items:
        refused = next((f" ({path}: {why})" for path, why in discovery.skipped.items()), "")
        raise UsageError(f"no recording of {dataset.name} below {raw}{refused}; {dataset.licence}")
    return discovery


def _shards(items: Sequence[RawItem]) -> list[Sequence[RawItem]]:
    size = max(16, min(_SHARD, math.ceil(len(items) / 16)))
    return [items[start : start + size] for start in range(0, len(items), size)]


def _write_shards(
    dataset: type[Dataset], shards: Sequence[Sequence[RawItem]], folder: Path
) -> list[dict[str, Any]]:
    """Runs one Ray Data task per shard; returns their reports in order."""
    rows = [
        {"number": number, "items": json.dumps([astuple(item) for item in items])}
        for number, items in enumerate(shards)
    ]

    def work(row: dict[str, Any]) -> dict[str, Any]:
        items = [RawItem(*item) for item in json.loads(row["items"])]
        return {"report": json.dumps(_write_shard(dataset, int(row["number"]), items, folder))}

    # one block per shard: a kill loses at most the shards under way
    results = ray.data.from_items(rows, override_num_blocks=len(rows)).map(work, num_cpus=TASK_CPUS)
    reports = []
    with progress_bar(f"prepare {dataset.name}", sum(map(len, shards)), "recordings") as bar:
        for result in results.iter_rows():
            reports.append(json.loads(result["report"]))
            bar.update(reports[-1]["read"])
    return sorted(reports, key=lambda report: str(report["file"]))


def _write_shard(
    dataset: type[Dataset], number: int, items: Sequence[RawItem], folder: Path
) -> dict[str, Any]:
    shard = folder / f"part-{number:05d}.parquet"
    done = shard.with_suffix(".json")
    described = json.dumps(
        [store.VERSION, dataset.name, store.meaning(dataset), [astuple(item) for item in items]]
    )
    wanted = hashlib.sha256(described.encode()).hexdigest()
    if done.exists():
        known: dict[str, Any] = json.loads(done.read_text(encoding="utf-8"))
        if known.get("items") == wanted:
            return known
    skipped: dict[str, str] = {}
    rows, digest = store.write_shard(shard, _read_items(dataset, items, skipped))
    report = {
        "file": shard.name,
        "items": wanted,
        "read": len(items),
        "rows": rows,
        "sha256": digest,
        "skipped": skipped,
    }
    paths.write_json(done, report)
    return report


def _read_items(
    dataset: type[Dataset], items: Sequence[RawItem], skipped: dict[str, str]
) -> Iterator[SkeletonSample]:
    """The whole recordings of these items; the others are noted in `skipped` with the reason."""
    reader = dataset()
    for item in items:
        try:
            for sample in reader.read(item):
                try:
                    store.check_sample(sample, dataset)
                except DataError as error:
                    skipped[sample.id] = str(error)
                else:
                    yield sample
        except (DataError, OSError) as error:
            skipped[item.id] = str(error)


def _remove_others(folder: Path, reports: Sequence[Mapping[str, Any]]) -> None:
    """Removes what earlier work on a longer list has left."""
    wanted = {Path(report["file"]).stem for report in reports}
    for file in folder.iterdir():
        if file.stem not in wanted:
            file.unlink()


def _manifest(
    dataset: type[Dataset], raw: Path, discovery: Discovery, reports: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    skipped = dict(discovery.skipped)
    for report in reports:
        skipped |= report["skipped"]
    hashes = [report["sha256"] for report in reports]
    identity = json.dumps([store.VERSION, dataset.name, hashes, discovery.splits])
    return {
        "version": store.VERSION,
        "dataset": dataset.name,
        **store.meaning(dataset),
        "source": os.fspath(raw),
        "samples": sum(report["rows"] for report in reports),
        "skipped": skipped,
        "shards": [{"file": r["file"], "rows": r["rows"], "sha256": r["sha256"]} for r in reports],
        "data_version": hashlib.sha256(identity.encode()).hexdigest()[:16],
    }
