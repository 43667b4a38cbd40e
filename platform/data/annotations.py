"""A prepared data set as an annotation pickle of pyskl and mmaction2, for use there.

The format: kennymckormick/pyskl, tools/data/README.md. A pickle is written from one object, so all
recordings are in memory at once; pyskl reads it in the same way.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from skelray.platform.data.parts import UNKNOWN, Part, labels_under, rows_of
from skelray.platform.data.protocols import find_protocol
from skelray.platform.data.store import Store, read_shard
from skelray.platform.dataset import Dataset, Protocol, SkeletonSample
from skelray.platform.errors import DataError, UsageError

_PARTS: Mapping[str, Part] = {"train": "train", "val": "test"}  # the format's names
_INDEX = ("id", "label", "subject", "camera", "setup")  # what protocols split by
_RECONSTRUCT = np.zeros(0).__reduce__()[0]


@dataclass(frozen=True)
class Written:
    """What a file holds: the number of annotations, ids by split, and what was left out and why."""

    annotations: int
    split: Mapping[str, Sequence[str]]
    skipped: Mapping[str, str] = field(default_factory=dict)


def write_annotations(
    store: Store, dataset: type[Dataset], path: Path, protocols: Sequence[str] = ()
) -> Written:
    """Writes the recordings of a store, and NAME_train and NAME_val for each protocol (or for all).

    Persons are in the order of their ids, or of the frames' lists where there are none. None is
    chosen: that is preprocessing. One that is in no frame is left out, otherwise the same
    recordings are read back. Body headers, joint states and colour coordinates have no place in
    the format.

    Raises:
        UsageError: `path` exists, a protocol is unknown, or the data set is of videos alone.
        DataError: `path` cannot be written.
    """
    if path.exists():
        raise UsageError(f"{path} exists: name another file, or remove it")
    if not dataset.joints:
        raise UsageError(f"recordings of {dataset.name} have no joints to write")
    names = protocols or dict.fromkeys([*(p.name for p in dataset.protocols), *store.splits])
    found = [find_protocol(dataset, store, name) for name in names]
    annotations, skipped, written = [], {}, []
    for shard in store.shards:
        for sample in read_shard(shard, dataset):
            try:
                annotations.append(annotation_of(sample))
            except DataError as error:
                skipped[sample.id] = str(error)
            else:
                written.append({name: getattr(sample, name) for name in _INDEX})
    split = _split(found, written, dataset.classes)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{path.name}.{os.getpid()}")
        with scratch.open("wb") as file:
            _Pickler(file, protocol=4).dump({"split": split, "annotations": annotations})
        scratch.replace(path)
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror})") from None
    return Written(len(annotations), split, skipped)


def annotation_of(sample: SkeletonSample) -> dict[str, Any]:
    """A recording as an annotation; DataError where a frame holds the same person twice."""
    frame, person = _places(sample)
    persons = int(person.max()) + 1
    annotation: dict[str, Any] = {"frame_dir": sample.id, "total_frames": sample.frames}
    if sample.label is not None:
        annotation["label"] = sample.label
    if sample.height is not None and sample.width is not None:
        annotation["img_shape"] = annotation["original_shape"] = (sample.height, sample.width)
    for key, values in (("keypoint", sample.xyz), ("keypoint_score", sample.score)):
        if values is not None:
            array = np.zeros((persons, sample.frames, *values.shape[1:]), dtype=np.float32)
            array[person, frame] = values
            annotation[key] = _smallest(array)
    return annotation


def _places(sample: SkeletonSample) -> tuple[np.ndarray, np.ndarray]:
    """Frame and person, both (B,), of each body."""
    bodies = sample.frame_bodies.astype(np.int64)
    frame = np.repeat(np.arange(len(bodies)), bodies)
    if sample.body_id is None:
        return frame, np.arange(len(frame)) - np.repeat(np.cumsum(bodies) - bodies, bodies)
    _, person = np.unique(sample.body_id, return_inverse=True)
    places, counts = np.unique(np.stack([frame, person]), axis=1, return_counts=True)
    if counts.max() > 1:
        twice = places[0, np.argmax(counts)]
        raise DataError(f"{sample.id}: frame {twice} holds bodies of the same id")
    return frame, person


def _smallest(array: np.ndarray) -> np.ndarray:
    """As float16, the format's own type, where that loses nothing."""
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    return half if np.array_equal(half, array) else array


def _split(
    protocols: Sequence[Protocol], written: Sequence[Mapping[str, Any]], classes: Sequence[str]
) -> dict[str, Any]:
    """The ids of each list: `xsub_train`, `xsub_val`; empty where no recording belongs there."""
    known = {
        name: np.array([UNKNOWN if row[name] is None else row[name] for row in written])
        for name in _INDEX
    }
    split = {}
    for protocol in protocols:
        index = known | {"label": labels_under(known["label"], classes, protocol)}
        for suffix, part in _PARTS.items():
            try:
                rows = rows_of(index, protocol, part)
            except DataError:  # an empty part: an error for a run, an empty list here
                rows = np.zeros(0, dtype=np.int64)
            split[f"{protocol.name}_{suffix}"] = index["id"][rows].tolist()
    return split


class _Pickler(pickle._Pickler):
    """Writes arrays so that NumPy 1 reads them, as pyskl needs: 2 names its module otherwise."""

    def save_global(self, obj: Any, name: str | None = None) -> None:
        """Writes a name by which something is imported."""
        if obj is not _RECONSTRUCT:
            super().save_global(obj, name)  # type: ignore[misc]
            return
        self.write(pickle.GLOBAL + b"numpy.core.multiarray\n_reconstruct\n")  # type: ignore[attr-defined]
        self.memoize(obj)  # type: ignore[attr-defined]
