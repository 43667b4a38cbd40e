"""NTU RGB+D as rows of npz files (`ntu60_ctrgcn`, `ntu120_ctrgcn`): one file per split.

The layout of Uason-Chen/CTR-GCN (data/ntu/seq_transformation.py, feeders/feeder_ntu.py) and of
maoyunyao/MAMP, which follow microsoft/SGN: `x_train` and `x_test` (n, 300, 150) float32, the
columns being two bodies of 25 joints x y z, padded with zeros; `y_train` and `y_test` (n, classes)
one-hot.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np

from skelray.datasets.ctrgcn.array_rows import ArrayRows
from skelray.datasets.ntu.dataset import CLASSES
from skelray.platform.dataset import Dataset, Discovery, RawItem, SkeletonSample, discover_files
from skelray.platform.errors import DataError
from skelray.platform.skeleton.specs import KINECT_V2

PARTS = ("train", "test")

_BODIES = (2, KINECT_V2.n_joints, KINECT_V2.dimensions)  # of a frame
_COLUMNS = math.prod(_BODIES)


class SplitArrays(Dataset):
    """Recordings as rows of the arrays of npz files, each file a split with both its parts."""

    skeleton = KINECT_V2
    persons = 2
    protocols = ()  # the files are the splits
    fps = 30.0
    files: ClassVar[Mapping[str, tuple[str, ...]]]  # split -> names of its file, without .npz
    licence = (
        "make the files from NTU RGB+D by the README of https://github.com/Uason-Chen/CTR-GCN or "
        "https://github.com/maoyunyao/MAMP (NTU's terms: academic research only, not to be passed "
        "on)"
    )

    def discover(self, raw: Path) -> Discovery:
        """Lists the rows of all files below `raw`; ids are FILE/PART-ROW, rows 0-based.

        A file of which anything is not as described is left out as a whole. All of each file is
        read once for its checksums: recordings in a damaged one would be wrong without a sign.
        """
        items: list[RawItem] = []
        splits: dict[str, dict[str, list[str]]] = {}
        found = discover_files(raw, ".npz", self._refusal)
        skipped = dict(found.skipped)
        folder = raw if raw.is_dir() else raw.parent
        for file in found.items:
            split = self._split(file.id)
            try:
                if split in splits:
                    raise DataError(f"the split {split} was found in another file already")
                rows = {part: self._rows(file, part) for part in PARTS}
            except DataError as error:
                name = file.where.removeprefix(f"{folder}/")
                skipped[name] = str(error).removeprefix(f"{file.path}: ")
            else:
                splits[split] = {part: [item.id for item in rows[part]] for part in PARTS}
                items += [item for part in PARTS for item in rows[part]]
        return Discovery(items, skipped, splits)

    def read(self, item: RawItem) -> Iterator[SkeletonSample]:
        """Yields the recording of one row, its bodies' places (0, 1) as their ids."""
        coordinates, labels = _open_part(item.path, item.stamp, item.member, len(self.classes))
        where = f"{item.where}, row {item.entry}"
        present, bodies = _bodies(coordinates.row(item.entry), where)
        yield SkeletonSample(
            id=item.id,
            frame_bodies=present.sum(axis=1, dtype=np.int32),
            xyz=bodies[present],
            body_id=np.nonzero(present)[1],
            label=_label(labels.row(item.entry), f"{labels.where}, row {item.entry}"),
            fps=self.fps,
        )

    def _rows(self, file: RawItem, part: str) -> list[RawItem]:
        if file.member:
            raise DataError("inside a zip archive: extract it first")
        member = f"x_{part}.npy"
        coordinates, labels = _open_part(file.path, file.stamp, member, len(self.classes))
        coordinates.check()
        labels.check()
        digits = len(str(len(coordinates) - 1))
        return [
            RawItem(f"{file.id}/{part}-{row:0{digits}}", file.path, member, row, file.stamp)
            for row in range(len(coordinates))
        ]

    def _refusal(self, stem: str) -> str | None:
        if self._split(stem):
            return None
        known = ", ".join(f"{name}.npz" for names in self.files.values() for name in names)
        return f"the name is not one of {known}"

    def _split(self, stem: str) -> str:
        """The split whose file has this name, or nothing."""
        return next((split for split, names in self.files.items() if stem in names), "")


class NTU60CTRGCN(SplitArrays):
    """NTU RGB+D: 60 actions, 56,578 recordings in either split."""

    name = "ntu60_ctrgcn"
    classes = CLASSES[:60]
    files: ClassVar = {"xsub": ("NTU60_CS", "NTU60_XSub"), "xview": ("NTU60_CV", "NTU60_XView")}


class NTU120CTRGCN(SplitArrays):
    """NTU RGB+D 120: 120 actions, 113,945 recordings in either split."""

    name = "ntu120_ctrgcn"
    classes = CLASSES
    files: ClassVar = {
        "xsub": ("NTU120_CSub", "NTU120_XSub"),
        "xset": ("NTU120_CSet", "NTU120_XSet"),
    }


@lru_cache(maxsize=4)
def _open_part(path: str, stamp: str, member: str, classes: int) -> tuple[ArrayRows, ArrayRows]:
    """The coordinates `member` and their labels, opened once per process for each state (`stamp`).

    DataError where either is not as the module's docstring says.
    """
    x = ArrayRows(path, member)
    y = ArrayRows(path, f"y{member.removeprefix('x')}")
    if len(x.shape) != 3 or x.shape[2] != _COLUMNS or x.dtype.kind != "f":
        expected = f"(rows, frames, {_COLUMNS}) floating-point numbers"
        raise DataError(f"{x.where}: expected {expected}, found {x.dtype} of shape {x.shape}")
    if y.shape != (len(x), classes) or y.dtype.kind not in "biuf":
        expected = f"({len(x)}, {classes}) numbers, one-hot labels"
        raise DataError(f"{y.where}: expected {expected}, found {y.dtype} of shape {y.shape}")
    return x, y


def _bodies(row: np.ndarray, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Which bodies are present (T, 2) and their joints (T, 2, 25, 3), without the padding.

    A body is absent where its 75 numbers are 0; frames after the last with a body are padding.
    """
    with np.errstate(over="ignore"):  # what float32 cannot hold is found by the next check
        bodies = row.astype(np.float32).reshape(-1, *_BODIES)
    finite = np.isfinite(bodies).all(axis=-1)
    if not finite.all():
        frame, body, joint = np.unravel_index(int(np.argmin(finite)), finite.shape)
        place = f"joint {joint} of body {body} in frame {frame}"
        raise DataError(f"{where}: {place} is not finite")
    present = np.any(bodies != 0, axis=(2, 3))
    frames = np.flatnonzero(present.any(axis=1))
    if not len(frames):
        raise DataError(f"{where}: nothing but zeros, so no body")
    return present[: frames[-1] + 1], bodies[: frames[-1] + 1]


def _label(row: np.ndarray, where: str) -> int:
    """The place of the one in a one-hot row."""
    (places,) = np.nonzero(row)
    if len(places) != 1 or row[places[0]] != 1:
        raise DataError(f"{where}: not one-hot, its numbers sum to {row.sum()}")
    return int(places[0])
