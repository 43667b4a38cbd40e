"""`prepare`: raw recordings to a store, in parallel Ray tasks, atomically and resumably.

The sorted list of recordings is cut into shards of fixed membership, so that the same recordings
give the same bytes however often the work was interrupted. A shard and its report appear by a
rename; what exists already is not made again. The folder is renamed to its final name when all is
there.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray
import ray.data

from skelray.platform import paths
from skelray.platform.data import store
from skelray.platform.dataset import Dataset, Discovery, RawItem, SkeletonSample
from skelray.platform.errors import DataError
from skelray.platform.progress import progress_bar

_SHARD = 256  # recordings: about 40 MB of NTU
_PLAN = "plan.json"


def prepare(dataset: type[Dataset], raw: Path, target: Path, *, fresh: bool = False) -> store.Store:
    """Makes the store `target` from the raw folder, or returns it where it is complete.

    Damaged recordings are skipped and listed with their reason in the manifest; DataError where
    nothing is left. Ray must be connected.
    """
    if (target / store.MANIFEST).exists() and not fresh:
        return store.Store.open(target)
    discovery = dataset().discover(raw)
    if not discovery.items:
        raise DataError(f"{raw} holds no recordings of {dataset.name}; {dataset.licence}")
    partial = target.with_name(f"{target.name}.partial")
    shards = _plan(partial, dataset, discovery, fresh=fresh)
    reports = _write_shards(dataset, shards, partial)
    manifest = _manifest(dataset, raw, discovery, reports)
    if not manifest["samples"]:
        shutil.rmtree(partial)  # or its reports would still say so when the files are repaired
        reason = manifest["skipped"][discovery.items[0].id]
        raise DataError(f"all {len(discovery.items)} recordings below {raw} are damaged: {reason}")
    paths.write_json(partial / store.MANIFEST, manifest)
    if target.exists():
        shutil.rmtree(target)
    partial.rename(target)
    return store.Store.open(target)


def _plan(
    partial: Path, dataset: type[Dataset], discovery: Discovery, *, fresh: bool
) -> list[list[RawItem]]:
    """Cuts the recordings into shards; keeps earlier work only where it was for the same list."""
    items = list(discovery.items)
    size = max(16, min(_SHARD, math.ceil(len(items) / 16)))
    shards = [items[i : i + size] for i in range(0, len(items), size)]
    listed = json.dumps([store.VERSION, dataset.name, [asdict(item) for item in items]])
    plan = {"items": hashlib.sha256(listed.encode()).hexdigest()}
    known = partial / _PLAN
    if partial.exists() and (
        fresh or not known.exists() or json.loads(known.read_text(encoding="utf-8")) != plan
    ):
        shutil.rmtree(partial)
    paths.write_json(known, plan)
    return shards


def _write_shards(
    dataset: type[Dataset], shards: Sequence[Sequence[RawItem]], folder: Path
) -> list[dict[str, Any]]:
    """Runs one Ray Data task per shard; returns their reports in order."""
    rows = [
        {"number": number, "items": json.dumps([asdict(item) for item in items])}
        for number, items in enumerate(shards)
    ]

    def work(row: dict[str, Any]) -> dict[str, Any]:
        items = [RawItem(**item) for item in json.loads(row["items"])]
        return {"report": json.dumps(_write_shard(dataset, int(row["number"]), items, folder))}

    # one block per shard: a kill loses at most the shards under way
    results = ray.data.from_items(rows, override_num_blocks=len(rows)).map(work, num_cpus=0.5)
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
    if done.exists():
        known: dict[str, Any] = json.loads(done.read_text(encoding="utf-8"))
        return known
    skipped: dict[str, str] = {}
    rows = store.write_shard(shard, _read_items(dataset, items, skipped))
    report = {
        "file": shard.name,
        "read": len(items),
        "rows": rows,
        "sha256": store.file_hash(shard),
        "skipped": skipped,
    }
    paths.write_json(done, report)
    return report


def _read_items(
    dataset: type[Dataset], items: Sequence[RawItem], skipped: dict[str, str]
) -> Iterator[SkeletonSample]:
    reader = dataset()
    for item in items:
        try:
            for sample in reader.read(item):
                store.check_sample(sample, dataset)
                yield sample
        except (DataError, OSError) as error:
            skipped[item.id] = str(error)


def _manifest(
    dataset: type[Dataset], raw: Path, discovery: Discovery, reports: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    skipped = dict(discovery.skipped)
    for report in reports:
        skipped |= report["skipped"]
    hashes = [report["sha256"] for report in reports]
    identity = json.dumps([store.VERSION, dataset.name, hashes])
    return {
        "version": store.VERSION,
        "dataset": dataset.name,
        "source": os.fspath(raw),
        "samples": sum(report["rows"] for report in reports),
        "skipped": skipped,
        "shards": [{"file": r["file"], "rows": r["rows"], "sha256": r["sha256"]} for r in reports],
        "data_version": hashlib.sha256(identity.encode()).hexdigest()[:16],
    }
