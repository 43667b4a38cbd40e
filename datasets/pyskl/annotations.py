"""Annotation pickles of pyskl and mmaction2 as data sets: the base class, also for files of others.

The format (kennymckormick/pyskl, tools/data/README.md): a dict of `annotations`, a list with a dict
for each recording, and `split`, a dict of lists of ids. A list of annotations alone is read too,
and ids under `filename` instead of `frame_dir`, where the first annotation has that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from skelray.datasets.pyskl.poses import read_label, read_picture, read_poses
from skelray.datasets.pyskl.splits import read_splits
from skelray.platform.dataset import (
    Dataset,
    Discovery,
    Protocol,
    RawItem,
    SkeletonSample,
    Splits,
    load_pickle,
)
from skelray.platform.errors import DataError, UsageError


class AnnotationFile(Dataset):
    """Recordings in one pickle; a subclass says `name`, `skeleton`, `persons` and `classes`.

    A person's place in the annotation (its index m) is the `body_id` of its poses. A person is in a
    frame unless all its coordinates and scores are zero there. `split` gives the protocols.
    """

    protocols: ClassVar[tuple[Protocol, ...]] = ()
    file_names: ClassVar[tuple[str, ...]] = ("*.pkl",)  # what to look for in a folder

    def numbers(self, recording: str) -> Mapping[str, int]:
        """What an id says of subject, camera, setup, replication and label, where it says it."""
        return {}

    def discover(self, raw: Path) -> Discovery:
        """Lists the annotations of the one pickle in a folder, or of the file itself, in order.

        Raises:
            DataError: the file is no pickle, asks for more than arrays, or is of another format.
            UsageError: the folder holds several files, or none.
        """
        path = self._find(raw)
        try:
            about = path.stat()
        except OSError as error:  # a link to nowhere
            raise DataError(f"{path}: cannot be read ({error.strerror})") from None
        stamp = f"{about.st_size}-{about.st_mtime_ns}"
        content = _load(str(path), stamp)
        items: dict[str, RawItem] = {}
        skipped: dict[str, str] = {}
        for entry, annotation in enumerate(content.annotations):
            recording = annotation.get(content.key) if isinstance(annotation, dict) else None
            if not isinstance(recording, str) or not recording or not recording.isprintable():
                skipped[f"annotations[{entry}]"] = f"no recording with a text {content.key!r}"
            elif recording in items:
                first = items[recording].entry
                skipped[f"annotations[{entry}]"] = f"the same recording as annotations[{first}]"
            else:
                items[recording] = RawItem(str(recording), str(path), entry=entry, stamp=stamp)
        splits, faults = read_splits(content.split, items.keys())
        splits = self._undeclared(splits, items.keys(), faults)
        skipped = {f"{path.name}: {name}": why for name, why in (skipped | faults).items()}
        return Discovery(list(items.values()), skipped, splits)

    def read(self, item: RawItem) -> Iterator[SkeletonSample]:
        """Yields the one recording of an annotation.

        A process keeps the file's structure from the first recording on (about 3 KB for each), not
        its arrays: these are read one at a time.
        """
        annotation = _load(item.path, item.stamp).annotations[item.entry]
        numbers: dict[str, Any] = dict(self.numbers(item.id))
        try:
            label = read_label(annotation, len(self.classes), numbers.pop("label", None))
            poses = read_poses(annotation, self.skeleton)
            picture = read_picture(annotation)
        except DataError as error:
            raise DataError(
                f"{item.path}: annotations[{item.entry}] ({item.id}): {error}"
            ) from None
        yield SkeletonSample(
            id=item.id, label=label, fps=self.fps, **numbers, **picture, **poses._asdict()
        )

    def _find(self, raw: Path) -> Path:
        if not raw.is_dir():
            return raw
        found = sorted({path for name in self.file_names for path in raw.rglob(name)})
        if len(found) != 1:
            names = ", ".join(path.name for path in found[:5]) or "none"
            raise UsageError(
                f"{raw} should hold one file {' or '.join(self.file_names)}, found {names}: "
                f"name the file itself with --raw; {self.licence}"
            )
        return found[0]

    def _undeclared(self, splits: Splits, recordings: Set[str], faults: dict[str, str]) -> Splits:
        """The splits that are not the data set's own: those of that name that differ are noted."""
        own = {protocol.name: protocol for protocol in self.protocols}
        found = {}
        for name, parts in splits.items():
            listed = {i: part for part, ids in parts.items() for i in ids}
            if name in own and listed == self._parts(own[name], recordings):
                continue
            found[name] = parts
            if name in own:
                faults[f"split {name}"] = f"used as it is: it differs from {self.name}'s own {name}"
        return found

    def _parts(self, protocol: Protocol, recordings: Set[str]) -> dict[str, str]:
        """Recording -> train or test, as a protocol says."""
        values = {i: {"id": i, **self.numbers(i)}.get(protocol.field) for i in recordings}
        train = {i: "train" for i, value in values.items() if value in protocol.train}
        test = {
            i: "test"
            for i, value in values.items()
            if i not in train and (protocol.test is None or value in protocol.test)
        }
        return train | test


class _Content(NamedTuple):
    annotations: list[Any]
    split: Any
    key: str  # of the ids


@lru_cache(maxsize=1)
def _load(path: str, stamp: str) -> _Content:
    """A file opened once per process: that takes seconds where it holds 100,000 annotations."""
    content = load_pickle(Path(path))
    split: Any = {}
    if isinstance(content, dict) and "annotations" in content:
        content, split = content["annotations"], content.get("split", {})
    if not isinstance(content, list) or not content:
        raise DataError(f"{path}: expected a dict with a list of annotations, or that list itself")
    first = content[0]
    key = "filename" if isinstance(first, dict) and "filename" in first else "frame_dir"
    return _Content(content, split, key)
