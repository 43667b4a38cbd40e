"""Fills clip stores: videos to small ones in parallel Ray tasks, resumably, all frames checked."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import ray.data
import torch
from filelock import FileLock

from skelray.platform import paths
from skelray.platform.clips.boxes import joints_box, square_box
from skelray.platform.data import store
from skelray.platform.data.clips import (
    MANIFEST,
    VERSION,
    ClipKind,
    ClipStore,
    clips_path,
    file_of,
    write_index,
)
from skelray.platform.dataset import Dataset, SkeletonSample
from skelray.platform.errors import DataError
from skelray.platform.preprocessing.pose_2d import pixels
from skelray.platform.progress import progress_bar
from skelray.platform.skeleton.spec import SkeletonSpec

TASK_CPUS = 1.0  # that Ray reserves for a task
_TOGETHER = 16  # recordings of one task


def prepare_clips(
    source: store.Store,
    dataset: type[Dataset],
    kind: ClipKind,
    find: Callable[[SkeletonSample], Path | None],
    *,
    fresh: bool = False,
) -> ClipStore:
    """Makes the clips of a prepared data set, or opens them where they are complete.

    `find` gives the video of a recording, in Ray's tasks. Damaged and missing ones are listed in
    the manifest with the reason; DataError where none is left. Ray must be connected.
    """
    target = clips_path(source.path, kind)
    target.mkdir(parents=True, exist_ok=True)
    with FileLock(target / ".lock"):
        if fresh or not _complete(target, source):
            _prepare(source, dataset, kind, target, find)
    return ClipStore.open(target, source.version)


def _complete(target: Path, source: store.Store) -> bool:
    """True where the clips of this version are there."""
    if not (target / MANIFEST).exists():
        return False
    manifest = json.loads((target / MANIFEST).read_text(encoding="utf-8"))
    return (manifest.get("version"), manifest.get("data_version")) == (VERSION, source.version)


def _prepare(
    source: store.Store,
    dataset: type[Dataset],
    kind: ClipKind,
    target: Path,
    find: Callable[[SkeletonSample], Path | None],
) -> None:
    (target / MANIFEST).unlink(missing_ok=True)
    rows, skipped = _make(source, dataset, kind, target, find)
    if not rows:
        reason = next(iter(skipped.values()), "the data set holds no recordings")
        raise DataError(f"none of {len(skipped)} recordings has a clip: {reason}")
    lengths = {row["id"]: row.pop("poses") for row in rows}
    manifest = {
        "version": VERSION,
        "dataset": dataset.name,
        "data_version": source.version,
        "clips": len(rows),
        "clips_version": write_index(target, rows),
        "skipped": skipped,
        # training reads frames that both have
        "other_lengths": {
            row["id"]: f"{row['frames']} frames, poses of {lengths[row['id']]}"
            for row in rows
            if row["frames"] != lengths[row["id"]]
        },
    }
    paths.write_json(target / MANIFEST, manifest)


def _make(
    source: store.Store,
    dataset: type[Dataset],
    kind: ClipKind,
    target: Path,
    find: Callable[[SkeletonSample], Path | None],
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """One Ray Data task per few recordings; returns the index's rows, and what is left out."""
    tasks = [
        {"shard": os.fspath(shard), "start": start}
        for shard, about in zip(source.shards, source.manifest["shards"], strict=True)
        for start in range(0, about["rows"], _TOGETHER)
    ]

    def work(task: dict[str, Any]) -> dict[str, Any]:
        samples = list(store.read_shard(Path(task["shard"]), dataset))
        some = samples[task["start"] : task["start"] + _TOGETHER]
        return {"reports": json.dumps([_clip(one, dataset, kind, target, find) for one in some])}

    stream = ray.data.from_items(tasks, override_num_blocks=len(tasks)).map(
        work, num_cpus=TASK_CPUS
    )
    rows, skipped = [], {}
    with progress_bar(f"clips {kind}", source.manifest["samples"], "recordings") as bar:
        for answer in stream.iter_rows():
            for report in json.loads(answer["reports"]):
                if "skipped" in report:
                    skipped[report["id"]] = report["skipped"]
                else:
                    rows.append(report)
                bar.update(1)
    return rows, dict(sorted(skipped.items()))


def person_square(
    sample: SkeletonSample, skeleton: SkeletonSpec, height: int, width: int
) -> tuple[int, int, int, int]:
    """The square around all joints of all frames, in a video of this size.

    Joints outside the picture count as at its edge. The whole picture where there are no joints.
    """
    if not len(sample.xyz):
        return (0, 0, width, height)
    size = np.array([width, height], np.float32)
    scale = size / (sample.width or width, sample.height or height)
    joints = pixels(sample, skeleton) * scale
    inside = np.where(joints != 0, joints.clip(1, size - 1), 0)
    extent = joints_box(torch.from_numpy(inside)[None])
    left, top, right, bottom = square_box(extent, torch.tensor([[height, width]]))[0].tolist()
    return left, top, right, bottom


def _clip(
    sample: SkeletonSample,
    dataset: type[Dataset],
    kind: ClipKind,
    target: Path,
    find: Callable[[SkeletonSample], Path | None],
) -> dict[str, Any]:
    """Makes one clip; its row of the index, or why it is left out."""
    # PyAV and OpenCV are loaded where videos are made
    from skelray.platform.video.compress import compress, crop
    from skelray.platform.video.reading import probe

    path = find(sample)
    if path is None or not path.is_file():
        where = "" if path is None else f": {path} is not there"
        return {"id": sample.id, "skipped": f"no video of {sample.id}{where}"}
    file = target / file_of(sample.id)
    try:
        seen = probe(path)
        person = person_square(sample, dataset.skeleton, seen.height, seen.width)
        if kind.shows == "person":
            made = crop(path, file, box=person, size=kind.size)
        else:
            made = compress(path, file, short_side=kind.size)
    except (DataError, OSError) as error:
        return {"id": sample.id, "skipped": str(error)}
    row = asdict(made)
    return {
        "id": sample.id,
        "shown": row.pop("box"),
        "person": person,
        "poses": sample.frames,
        **row,
    }
