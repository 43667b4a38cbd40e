"""Fills clip stores: videos to small ones in parallel Ray tasks, resumably, all frames checked."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray.data
from filelock import FileLock

from skelray.platform import paths
from skelray.platform.data import store
from skelray.platform.data.boxes import read_boxes
from skelray.platform.data.clips import (
    MANIFEST,
    VERSION,
    VIDEOS,
    ClipKind,
    ClipStore,
    clips_path,
    file_of,
    write_index,
)
from skelray.platform.data.persons import Persons
from skelray.platform.dataset import Dataset, SkeletonSample
from skelray.platform.errors import DataError, UsageError
from skelray.platform.progress import progress_bar

TASK_CPUS = 1.0  # that Ray reserves for a task


def prepare_clips(
    source: store.Store,
    dataset: type[Dataset],
    kind: ClipKind,
    find: Callable[[SkeletonSample], Path | None],
    *,
    boxes: Path | None = None,
    fresh: bool = False,
) -> ClipStore:
    """Makes the clips of a prepared data set; those that are there and whole are kept.

    `find` gives the video of a recording, in Ray's tasks; `boxes` is a file of a detector's boxes,
    which are taken instead of the joints; `fresh` makes every clip anew. Damaged and missing videos
    are listed in the manifest with the reason; DataError where none is left, UsageError where
    nothing can say where the persons are. Ray must be connected.
    """
    if kind.shows == "person" and not (dataset.joints or boxes):
        raise UsageError(
            f"recordings of {dataset.name} have no joints to cut persons by: give --boxes FILE, "
            f"which skelray boxes makes, or --clips whole-{kind.size}"
        )
    target = clips_path(source.path, kind)
    target.mkdir(parents=True, exist_ok=True)
    with FileLock(target / ".lock"):
        (target / MANIFEST).unlink(missing_ok=True)  # first: what is under way is not whole
        if fresh:
            shutil.rmtree(target / VIDEOS, ignore_errors=True)
        rows, skipped = _make(source, dataset, kind, target, find, boxes)
        _write_manifest(source, target, rows, skipped)
    return ClipStore.open(target, source.version)


def _write_manifest(
    source: store.Store, target: Path, rows: list[dict[str, Any]], skipped: dict[str, str]
) -> None:
    """Writes the index and what is said of it; DataError where no clip could be made."""
    if not rows:
        reason = next(iter(skipped.values()), "the data set holds no recordings")
        raise DataError(f"none of {len(skipped)} recordings has a clip: {reason}")
    lengths = {row["id"]: row.pop("poses") for row in rows}
    manifest = {
        "version": VERSION,
        "dataset": source.manifest["dataset"],
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
    boxes: Path | None,
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """One Ray Data task per shard; returns the index's rows, and what is left out."""
    tasks = [
        {"shard": os.fspath(shard)}
        for shard, about in zip(source.shards, source.manifest["shards"], strict=True)
        if about["rows"]
    ]

    def work(task: dict[str, Any]) -> dict[str, Any]:
        persons = Persons(dataset.skeleton, read_boxes(boxes) if boxes else None)
        samples = store.read_shard(Path(task["shard"]), dataset)
        return {"reports": json.dumps([_clip(one, kind, target, find, persons) for one in samples])}

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


def _clip(
    sample: SkeletonSample,
    kind: ClipKind,
    target: Path,
    find: Callable[[SkeletonSample], Path | None],
    persons: Persons,
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
        if kind.shows == "person":
            person = persons.square(sample, seen.height, seen.width)
            made = crop(path, file, box=person, size=kind.size)
        else:
            person = persons.square_or_picture(sample, seen.height, seen.width)
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
