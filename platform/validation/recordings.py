"""All recordings together: units, axes, duplicates, labels, subjects, and the parts of splits."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from skelray.platform.data.parts import UNKNOWN, Part, labels_under, rows_of
from skelray.platform.dataset import Dataset, SkeletonSample, Splits
from skelray.platform.errors import DataError
from skelray.platform.validation.findings import Findings, Kind
from skelray.platform.validation.motion import Track, size_of

TWICE = Kind("error", "ids that two recordings have", "features are kept by id: make ids differ")
COPIES = Kind("warning", "recordings with the coordinates of another", "one file under two names")
UNIT = Kind("warning", "unit of the coordinates")
AXES = Kind("warning", "direction of the axes", "preprocessing takes y as pointing up")
NO_CLIP = Kind("warning", "clips that are not there")
EMPTY_CLASS = Kind("warning", "classes without a recording")
EMPTY_PART = Kind(
    "warning", "empty parts of splits", "a run finds nothing to train on, or measures nothing"
)
REPLACED = Kind(
    "warning",
    "protocols of the class that are not used",
    "splits of that name came with the files",
)
SUBJECTS = Kind("warning", "one subject alone", "no one can be held out, nor left out (losoN)")
UNLABELLED = Kind("note", "unlabelled recordings", "they pretrain; no probe reads them")

# Sizes of a body, from corner to corner of its box, that make sense in a unit: from a child's upper
# half to a crowd's tallest with arms spread.
_SIZES = {
    "metre": (0.3, 5.0),
    "centimetre": (30.0, 500.0),
    "millimetre": (300.0, 5000.0),
    "pixel": (10.0, 10_000.0),
}
_NAMED = ("label", "subject", "camera", "setup")
_PARTS: tuple[Part, ...] = ("train", "holdout", "test")


@dataclass
class Recordings:
    """What is kept of each recording: a few numbers."""

    dataset: type[Dataset]
    findings: Findings
    index: dict[str, list[int]] = field(default_factory=lambda: {name: [] for name in _NAMED})
    ids: dict[str, None] = field(default_factory=dict)  # in order
    labels: Counter[int | None] = field(default_factory=Counter)
    sizes: list[float] = field(default_factory=list)
    upwards: list[np.ndarray] = field(default_factory=list)  # (C,) from legs to head
    contents: dict[bytes, str] = field(default_factory=dict)  # hash -> first id

    def add(self, sample: SkeletonSample, people: list[Track]) -> None:
        """Counts a recording; its id, coordinates and clip are compared at once."""
        if sample.id in self.ids:
            self.findings.add(TWICE, sample.id)
            return
        self.ids[sample.id] = None
        for name, column in self.index.items():
            value = getattr(sample, name)
            column.append(UNKNOWN if value is None else value)
        self.labels[sample.label] += 1
        if people:
            self.sizes.append(size_of(people))
            self.upwards += _upwards(people, self.dataset)
        if self.dataset.joints:
            content = sample.frame_bodies.tobytes() + sample.xyz.tobytes()
            first = self.contents.setdefault(hashlib.sha256(content).digest()[:16], sample.id)
            if first != sample.id:
                self.findings.add(COPIES, f"{sample.id}: the same as {first}")
        if sample.clip and not Path(sample.clip).is_file():
            self.findings.add(NO_CLIP, f"{sample.id}: {sample.clip}")

    def check_units(self) -> None:
        """Adds units and axes that do not fit a human body."""
        skeleton = self.dataset.skeleton
        size = float(np.median(self.sizes)) if self.sizes else np.nan
        low, high = _SIZES.get(skeleton.unit, (0.0, np.inf))
        if size < low or size > high:
            fitting = [unit for unit, (a, b) in _SIZES.items() if a <= size <= b]
            like = f"the numbers look like {' or '.join(fitting)}" if fitting else "no unit fits"
            self.findings.add(
                UNIT,
                f"bodies measure {size:.3g} {skeleton.unit} from corner to corner: {like}; convert "
                "them in read, or name their unit in the skeleton",
            )
        if skeleton.dimensions == 3 and self.upwards:
            direction = np.median(self.upwards, axis=0)
            axis = int(np.argmax(np.abs(direction)))
            if axis != 1 or direction[1] < 0:
                name = f"{'-' if direction[axis] < 0 else '+'}{'xyz'[axis]}"
                self.findings.add(AXES, f"most heads lie in direction {name} of the legs, not +y")

    def check_parts(self, splits: Splits) -> None:
        """Adds classes and parts that are empty; asks for all recordings to have been added."""
        for label, name in enumerate(self.dataset.classes):
            if not self.labels[label] and self.labels.total() > self.labels[None]:
                self.findings.add(EMPTY_CLASS, f"{label}: {name}")
        if unlabelled := self.labels[None]:
            self.findings.add(UNLABELLED, f"{unlabelled:,} of {len(self.ids):,}")
        subjects = sorted(set(self.index["subject"]) - {UNKNOWN})
        if len(subjects) == 1:
            self.findings.add(SUBJECTS, f"all recordings are of subject {subjects[0]}")
        index = {name: np.array(column) for name, column in self.index.items()}
        index["id"], labels = np.array(list(self.ids)), index["label"]
        for protocol in self.dataset.protocols:
            index["label"] = labels_under(labels, self.dataset.classes, protocol)
            for part in _PARTS:
                try:
                    rows_of(index, protocol, part)
                except DataError as error:
                    self.findings.add(EMPTY_PART, str(error))
        for protocol in self.dataset.protocols:
            if protocol.name.lower() in map(str.lower, splits):
                self.findings.add(REPLACED, protocol.name)
        for name, listed in splits.items():
            for side, ids in listed.items():
                # a split that lists nothing to test on is for pretraining alone
                if not self.ids.keys() & set(ids) and (ids or side == "train"):
                    self.findings.add(EMPTY_PART, f"part {side} of protocol {name} is empty")


def _upwards(people: list[Track], dataset: type[Dataset]) -> Iterator[np.ndarray]:
    """From the middle of the legs to that of the head (C,), the median over a person's frames."""
    parts = dataset.skeleton.parts
    if not {"head", "left_leg", "right_leg"} <= parts.keys():
        return
    legs = [*parts["left_leg"], *parts["right_leg"]]
    for person in people:
        way = person.xyz[:, list(parts["head"])].mean(axis=1) - person.xyz[:, legs].mean(axis=1)
        if len(way := way[~np.isnan(way).any(axis=1)]):
            yield np.median(way, axis=0)
