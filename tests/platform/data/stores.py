"""Small stores written without Ray, for tests that only read them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from skelray.platform.data import store
from skelray.platform.dataset import Dataset, SkeletonSample
from tests.platform.data.recordings import Walks


def write_store(
    path: Path,
    shards: Sequence[Sequence[SkeletonSample]],
    *,
    dataset: str = "walks",
    version: str = "0123456789abcdef",
    kind: type[Dataset] = Walks,
    skipped: Mapping[str, str] | None = None,
) -> store.Store:
    """A store of these shards."""
    path.mkdir(parents=True)
    listed = []
    for number, samples in enumerate(shards):
        file = f"part-{number:05d}.parquet"
        store.write_shard(path / file, samples)
        listed.append({"file": file, "rows": len(samples)})
    manifest = {
        "version": store.VERSION,
        **store.meaning(kind),
        "dataset": dataset,
        "samples": sum(map(len, shards)),
        "skipped": dict(skipped or {}),
        "shards": listed,
        "data_version": version,
    }
    (path / store.MANIFEST).write_text(json.dumps(manifest))
    return store.Store.open(path)


def recording(name: str, bodies: Sequence[int], **known: object) -> SkeletonSample:
    """A recording of 20 joints with so many bodies in each frame, and what is known of it."""
    count = sum(bodies)
    xyz = np.arange(count * 60, dtype=np.float32).reshape(count, 20, 3)
    return SkeletonSample(
        id=name,
        frame_bodies=np.array(bodies, dtype=np.int32),
        xyz=xyz,
        **known,  # type: ignore[arg-type]
    )
