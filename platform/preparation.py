"""Prepared data for a run: stores and clips, made of raw recordings or generated."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from skelray.platform import cluster, paths, registry
from skelray.platform.config import DataConfig
from skelray.platform.data import clip_preparation
from skelray.platform.data.boxes import read_boxes
from skelray.platform.data.clips import MANIFEST as CLIPS_MANIFEST
from skelray.platform.data.clips import ClipKind, ClipStore, clips_path
from skelray.platform.data.prepare import TASK_CPUS, prepare
from skelray.platform.data.source import Source, store_path
from skelray.platform.data.store import MANIFEST, Store
from skelray.platform.dataset import SkeletonSample
from skelray.platform.errors import UsageError
from skelray.platform.video.found import find_videos
from skelray.platform.video.required import require_video


def prepare_dataset(name: str, raw: Path | None, *, size: str = "", fresh: bool = False) -> Store:
    """Prepares a data set from its raw recordings; generated ones are generated first."""
    cluster.require_home()
    dataset = registry.load_dataset(name)
    if dataset().generated:
        if fresh and raw is None:
            shutil.rmtree(generated_raw(name, size), ignore_errors=True)
        raw = raw or generated_raw(name, size)
        dataset().generate(raw, size=size, seed=0)
    if raw is None:
        raise UsageError(f"data set {name} needs --raw FOLDER: {dataset.licence}")
    if not raw.exists():
        raise UsageError(f"--raw {raw} does not exist")
    raw = raw.absolute()  # tasks run elsewhere
    room = partial(cluster.require_room, "preparation", workers=1, cpus=TASK_CPUS)
    with cluster.connected(room):
        return prepare(dataset, raw, store_path(dataset, size), fresh=fresh)


def prepare_clips(
    name: str,
    clips: str,
    videos: Path | None = None,
    boxes: Path | None = None,
    *,
    size: str = "",
    fresh: bool = False,
) -> ClipStore:
    """Makes the clips of a prepared data set; the videos of generated ones are drawn first.

    `clips` is their kind, such as person-256; `videos` the folder of the videos, where the
    recordings do not say where they lie; `boxes` a file that `skelray boxes` made.
    """
    kind = ClipKind.parse(clips)
    require_video()
    dataset = registry.load_dataset(name)
    store = Store.open(store_path(dataset, size), dataset)
    find = _finder(name, size, videos)
    if boxes is not None:
        boxes = boxes.absolute()
        read_boxes(boxes)  # what is wrong is said before Ray starts
    room = partial(cluster.require_room, "clips", workers=1, cpus=clip_preparation.TASK_CPUS)
    with cluster.connected(room):
        return clip_preparation.prepare_clips(store, dataset, kind, find, boxes=boxes, fresh=fresh)


def _finder(name: str, size: str, videos: Path | None) -> Callable[[SkeletonSample], Path | None]:
    """Where the video of a recording lies."""
    if videos is not None:
        by_id = find_videos(videos.absolute())
        return lambda sample: by_id.get(sample.id)
    dataset = registry.load_dataset(name)()
    if dataset.renders:
        raw = generated_raw(name, size)
        return lambda sample: dataset.render(raw, sample.id, size=size, seed=0)
    return lambda sample: Path(sample.clip) if sample.clip else None


def generated_raw(name: str, size: str) -> Path:
    """Where the raw recordings of a generated data set lie."""
    return paths.raw() / f"{name}-{size}"


def prepared(config: DataConfig) -> bool:
    """True where store and clips are there."""
    return not any(_missing(config))


def _missing(config: DataConfig) -> tuple[bool, bool]:
    """Whether the store and whether the clips are to be made."""
    store = store_path(registry.load_dataset(config.dataset), config.size)
    kind = ClipKind.parse(config.clips) if config.clips else None
    return (
        not (store / MANIFEST).exists(),
        kind is not None and not (clips_path(store, kind) / CLIPS_MANIFEST).exists(),
    )


def open_source(config: DataConfig) -> Source:
    """The prepared data of a run; generated data sets are prepared first where they are not."""
    recordings, clips = _missing(config)
    if recordings:
        prepare_dataset(config.dataset, None, size=config.size)
    if clips:
        prepare_clips(config.dataset, config.clips, size=config.size)
    return Source.open(config)


def check_data(config: DataConfig) -> None:
    """UsageError unless data set and protocol exist and recordings are there or generated."""
    dataset = registry.load_dataset(config.dataset)
    recordings, clips = _missing(config)
    if clips:
        require_video()
    if not recordings and not (clips and dataset().renders):
        Source.open(config)
    elif dataset().generated:
        dataset.protocol(config.protocol)
    else:
        raise UsageError(
            f"data set {config.dataset} is not prepared: run `python experiments/prepare.py "
            f"{config.dataset} --raw FOLDER` first"
        )
