"""NTU RGB+D (`ntu60`) and NTU RGB+D 120 (`ntu120`): which files, what their names say, the splits.

The class names and the list of recordings with missing or incomplete skeletons are the owners'
(shahroudy/NTURGB-D, README.md and Matlab/NTU_RGBD120_samples_with_missing_skeletons.txt); the 302
names of the list for `ntu60` are exactly those of setups 1 to 17.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar, NamedTuple

from skelray.datasets.ntu.parser import HEADER, parse_skeleton
from skelray.platform.dataset import (
    Dataset,
    Discovery,
    Protocol,
    RawItem,
    SkeletonSample,
    discover_files,
)
from skelray.platform.errors import DataError
from skelray.platform.skeleton.specs import KINECT_V2

_NAME = re.compile(r"S([0-9]{3})C([0-9]{3})P([0-9]{3})R([0-9]{3})A([0-9]{3})")


def _data(name: str) -> tuple[str, ...]:
    """The lines of a text file beside this module."""
    return tuple(Path(__file__).with_name(name).read_text(encoding="utf-8").splitlines())


CLASSES = _data("classes.txt")
MISSING_SKELETONS = frozenset(_data("missing_skeletons.txt"))

SUBJECTS_60 = range(1, 41)
SUBJECTS_120 = range(1, 107)
# fmt: off
XSUB_TRAIN_60 = frozenset((
    1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38,
))
XSUB_TRAIN_120 = XSUB_TRAIN_60 | {
    45, 46, 47, 49, 50, 52, 53, 54, 55, 56, 57, 58, 59, 70, 74, 78, 80, 81, 82, 83, 84, 85, 86,
    89, 91, 92, 93, 94, 95, 97, 98, 100, 103,
}
# fmt: on


def _holdout(subjects: Iterable[int]) -> frozenset[int]:
    """Every sixth of the subjects that train, from the third on: 15 to 18 % of them.

    Spread over the whole range because neighbouring numbers were recorded in the same setups.
    """
    return frozenset(sorted(subjects)[2::6])


class RecordingName(NamedTuple):
    """The numbers in a file's name, SsssCcccPpppRrrrAaaa, as written there (1-based)."""

    setup: int
    camera: int
    subject: int
    replication: int
    action: int

    @classmethod
    def parse(cls, stem: str) -> RecordingName | None:
        """Reads a name without its ending; None where it is no such name."""
        match = _NAME.fullmatch(stem)
        return cls(*map(int, match.groups())) if match else None


class SkeletonFolder(Dataset):
    """Recordings as `.skeleton` files with NTU's names, below a folder or in zip archives."""

    skeleton = KINECT_V2
    persons = 2
    header = HEADER
    fps = 30.0
    picture = (1080, 1920)
    setups: ClassVar[int]  # setups 1 to this number belong to the data set
    missing: ClassVar[frozenset[str]] = frozenset()  # recordings that the owners ask to leave out

    def discover(self, raw: Path) -> Discovery:
        """Lists the recordings in the folder and in the owners' zip archives, sorted by name."""
        return discover_files(raw, ".skeleton", self._refusal)

    def read(self, item: RawItem) -> Iterator[SkeletonSample]:
        """Yields the one recording of the file, with its RGB clip where that lies beside it."""
        name = RecordingName.parse(item.id)
        if name is None:
            raise DataError(f"{item.where}: the name {item.id!r} is not SsssCcccPpppRrrrAaaa")
        clip = Path(item.path).with_name(f"{item.id}_rgb.avi")
        yield SkeletonSample(
            id=item.id,
            label=name.action - 1,
            subject=name.subject,
            camera=name.camera,
            setup=name.setup,
            replication=name.replication,
            fps=self.fps,
            clip=str(clip) if clip.is_file() else None,
            **parse_skeleton(item.read_bytes(), item.where)._asdict(),
        )

    def _refusal(self, stem: str) -> str | None:
        """Why a file is left out, None where it is not."""
        name = RecordingName.parse(stem)
        if name is None:
            return "the name is not SsssCcccPpppRrrrAaaa.skeleton"
        if stem in self.missing:
            return "on the owners' list of missing or incomplete skeletons"
        if not 1 <= name.action <= len(self.classes):
            return f"action {name.action} is not one of {self.name}'s 1 to {len(self.classes)}"
        if not 1 <= name.setup <= self.setups:
            return f"setup {name.setup} is not one of {self.name}'s 1 to {self.setups}"
        return None


_LICENCE = (
    "ask for the skeletons of {} at https://rose1.ntu.edu.sg/dataset/actionRecognition "
    "(academic research only, not to be passed on)"
)


class NTU60(SkeletonFolder):
    """NTU RGB+D: 60 actions, 40 subjects, 3 cameras, 17 setups, 56,880 recordings."""

    name = "ntu60"
    classes = CLASSES[:60]
    missing = MISSING_SKELETONS
    setups = 17
    licence = _LICENCE.format("NTU RGB+D")
    protocols = (
        Protocol("xsub", "subject", XSUB_TRAIN_60, _holdout(XSUB_TRAIN_60)),
        Protocol("xview", "camera", frozenset((2, 3)), _holdout(SUBJECTS_60)),
    )


class NTU120(SkeletonFolder):
    """NTU RGB+D 120: 120 actions, 106 subjects, 3 cameras, 32 setups, 114,480 recordings."""

    name = "ntu120"
    classes = CLASSES
    missing = MISSING_SKELETONS
    setups = 32
    licence = _LICENCE.format("NTU RGB+D 120")
    protocols = (
        Protocol("xsub", "subject", XSUB_TRAIN_120, _holdout(XSUB_TRAIN_120)),
        Protocol(
            "xset",
            "setup",
            frozenset(range(2, 33, 2)),  # even setups train
            _holdout(SUBJECTS_120),
        ),
    )
