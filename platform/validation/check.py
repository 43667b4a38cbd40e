"""Reads raw recordings, or a prepared store, and collects what is wrong; in one process, no Ray."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from skelray.platform.data.store import Store, check_sample, read_shard
from skelray.platform.dataset import Dataset, Discovery, RawItem, SkeletonSample
from skelray.platform.errors import DataError, SkelrayError, in_one_line
from skelray.platform.progress import progress_bar
from skelray.platform.validation.findings import Findings, Kind
from skelray.platform.validation.motion import check_motion, tracks
from skelray.platform.validation.plugin import check_class
from skelray.platform.validation.recordings import Recordings

DISCOVER = Kind("error", "discover fails")
NOTHING = Kind("error", "no recording is found")
UNREADABLE = Kind("error", "recordings that cannot be read", "prepare leaves them out")
CRASHED = Kind(
    "error", "recordings on which read fails", "prepare stops there: raise DataError instead"
)
UNFIT = Kind("error", "recordings that do not fit the class", "prepare leaves them out")
LEFT_OUT = Kind("warning", "files and rows that are left out")

_T = TypeVar("_T")


def check_raw(dataset: type[Dataset], raw: Path, *, limit: int = 0) -> Findings:
    """Checks the recordings below `raw`, or `limit` of them at even distances.

    What concerns all of them together (classes, splits) is left out where there is a limit.
    """
    findings = Findings()
    check_class(dataset, findings)
    if findings.count("error"):
        return findings
    reader = dataset()
    discovery = _discover(reader, raw, findings)
    if discovery is None:
        return findings
    for name, reason in discovery.skipped.items():
        findings.add(LEFT_OUT, f"{name}: {reason}")
    if not discovery.items:
        findings.add(NOTHING, f"below {raw}")
    chosen = spread(discovery.items, limit)
    samples = (_read(reader, item, findings) for item in chosen)
    recordings = _check_each(dataset, samples, len(chosen), findings)
    if len(chosen) == len(discovery.items) and discovery.items:
        recordings.check_parts(discovery.splits)
    return findings


def check_store(dataset: type[Dataset], store: Store, *, limit: int = 0) -> Findings:
    """Checks the recordings of a store, or `limit` of them at even distances."""
    findings = Findings()
    check_class(dataset, findings)
    if findings.count("error"):
        return findings
    for name, reason in store.manifest["skipped"].items():
        findings.add(LEFT_OUT, f"{name}: {reason}")
    total = store.manifest["samples"]
    chosen = set(spread(range(total), limit))
    stored = (sample for shard in store.shards for sample in read_shard(shard, dataset))
    samples = ([sample] for row, sample in enumerate(stored) if row in chosen)
    recordings = _check_each(dataset, samples, len(chosen), findings)
    if len(chosen) == total:
        recordings.check_parts(store.splits)
    return findings


def spread(items: Sequence[_T], limit: int) -> Sequence[_T]:
    """At most `limit` of the items at even distances; all of them where it is 0."""
    if not limit or limit >= len(items):
        return items
    return [items[row] for row in np.linspace(0, len(items) - 1, limit).round().astype(int)]


def _discover(reader: Dataset, raw: Path, findings: Findings) -> Discovery | None:
    try:
        return reader.discover(raw)
    except SkelrayError:
        raise
    except Exception as error:
        findings.add(DISCOVER, in_one_line(error))
        return None


def _read(reader: Dataset, item: RawItem, findings: Findings) -> Iterator[SkeletonSample]:
    try:
        samples: Iterable[Any] = reader.read(item)
        for sample in samples:
            if not isinstance(sample, SkeletonSample):
                kind = type(sample).__name__
                raise TypeError(f"read yields a {kind}, expected a SkeletonSample")
            yield sample
    except (DataError, OSError) as error:
        findings.add(UNREADABLE, _named(item.id, str(error)))
    except Exception as error:
        findings.add(CRASHED, f"{item.id}: {in_one_line(error)}")


def _check_each(
    dataset: type[Dataset],
    items: Iterable[Iterable[SkeletonSample]],
    total: int,
    findings: Findings,
) -> Recordings:
    """Checks the samples of `total` items."""
    recordings = Recordings(dataset, findings)
    with progress_bar(f"check {dataset.name}", total, "recordings") as bar:
        for samples in items:
            for sample in samples:
                if _fits(sample, dataset, findings):
                    people = tracks(sample)
                    recordings.add(sample, people)
                    for kind, detail in check_motion(sample, people, dataset):
                        findings.add(kind, detail)
            bar.update(1)
    recordings.check_units()
    return recordings


def _fits(sample: SkeletonSample, dataset: type[Dataset], findings: Findings) -> bool:
    """True where `prepare` would take the recording."""
    try:
        check_sample(sample, dataset)
    except DataError as error:
        findings.add(UNFIT, _named(sample.id, f"{error}{_first_not_finite(sample, dataset)}"))
        return False
    return True


def _first_not_finite(sample: SkeletonSample, dataset: type[Dataset]) -> str:
    """Where the first NaN or infinity lies; nothing where all numbers are finite."""
    skeleton = dataset.skeleton
    xyz = np.asarray(sample.xyz)
    if xyz.dtype.kind != "f" or xyz.shape[1:] != (skeleton.n_joints, skeleton.dimensions):
        return ""
    wrong = np.argwhere(~np.isfinite(xyz))
    if not len(wrong):
        return ""
    body, joint, _ = wrong[0]
    frame = np.searchsorted(np.cumsum(sample.frame_bodies), body, side="right")
    return f" (frame {frame}, joint {skeleton.joints[joint]!r})"


def _named(id: str, message: str) -> str:
    return message if id in message else f"{id}: {message}"
