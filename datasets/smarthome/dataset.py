"""Toyota Smarthome (`smarthome`): which files, what their names say, the three protocols.

The classes, their order and the protocols are those of the owners' skeleton baseline
(YangDi666/2s-AGCN-For-Daily-Living, data_gen/smarthome_gendata.py), except that both cross-view
protocols go by the camera, as the paper says: the baseline's second one goes by the subject.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from skelray.datasets.smarthome.parser import HEIGHT, WIDTH, parse_poses
from skelray.platform.dataset import (
    Dataset,
    Discovery,
    Protocol,
    RawItem,
    SkeletonSample,
    discover_files,
)
from skelray.platform.errors import DataError
from skelray.platform.skeleton.specs import SMARTHOME15

CLASSES = (
    "Cook.Cleandishes", "Cook.Cleanup", "Cook.Cut", "Cook.Stir", "Cook.Usestove", "Cutbread",
    "Drink.Frombottle", "Drink.Fromcan", "Drink.Fromcup", "Drink.Fromglass", "Eat.Attable",
    "Eat.Snack", "Enter", "Getup", "Laydown", "Leave", "Makecoffee.Pourgrains",
    "Makecoffee.Pourwater", "Maketea.Boilwater", "Maketea.Insertteabag", "Pour.Frombottle",
    "Pour.Fromcan", "Pour.Fromkettle", "Readbook", "Sitdown", "Takepills", "Uselaptop",
    "Usetelephone", "Usetablet", "Walk", "WatchTV",
)  # fmt: skip
CROSS_VIEW_CLASSES = (
    "Cutbread", "Drink.Frombottle", "Drink.Fromcan", "Drink.Fromcup", "Drink.Fromglass",
    "Eat.Attable", "Eat.Snack", "Enter", "Getup", "Leave", "Pour.Frombottle", "Pour.Fromcan",
    "Readbook", "Sitdown", "Takepills", "Uselaptop", "Usetablet", "Usetelephone", "Walk",
)  # fmt: skip
NO_CLASS = "Pour.Fromcup"  # 14 recordings, which the paper does not count

_NAME = re.compile(r"([A-Za-z.]+)_p([0-9]{2})_r([0-9]{2})_v([0-9]{2})_c([0-9]{2})")
_REFINED = "_pose3d"  # ends the names of the files of version 1.2

_TRAIN = frozenset((3, 4, 6, 7, 9, 12, 13, 15, 17, 19, 25))
_TEST = frozenset((2, 10, 11, 14, 16, 18, 20))
# The cross-view protocols validate on camera 5, which does not train. What selects models here lies
# inside what trains: every sixth subject, from the third on.
_HOLDOUT = frozenset(sorted(_TRAIN | _TEST)[2::6])


class RecordingName(NamedTuple):
    """What a file's name says, ACTIVITY_pPP_rRR_vVV_cCC."""

    activity: str
    subject: int
    replication: int
    video: int
    camera: int

    @classmethod
    def parse(cls, clip: str) -> RecordingName | None:
        """Reads a clip's name without its ending; None where it is no such name."""
        match = _NAME.fullmatch(clip)
        return cls(match[1], *map(int, match.groups()[1:])) if match else None


class Smarthome(Dataset):
    """Toyota Smarthome, trimmed: 31 activities, 18 subjects, 7 cameras, 16,115 recordings."""

    name = "smarthome"
    skeleton = SMARTHOME15
    persons = 2
    classes = CLASSES
    metric = "mean_class"
    licence = (
        "ask for the trimmed version at https://project.inria.fr/toyotasmarthome (academic "
        "research only, not to be passed on)"
    )
    protocols = (
        # the official lists hold these two out
        Protocol("cs", "subject", _TRAIN, frozenset((19, 25)), test=_TEST),
        Protocol(
            "cv1",
            "camera",
            train=frozenset({1}),
            holdout=_HOLDOUT,
            test=frozenset({2}),
            classes=CROSS_VIEW_CLASSES,
        ),
        Protocol(
            "cv2",
            "camera",
            train=frozenset({1, 3, 4, 6, 7}),
            holdout=_HOLDOUT,
            test=frozenset({2}),
            classes=CROSS_VIEW_CLASSES,
        ),
    )

    def discover(self, raw: Path) -> Discovery:
        """Lists the poses in the folder and in zip archives there, sorted by name.

        Of a clip's two files the refined one, `…_pose3d.json`, is taken.
        """
        found = discover_files(raw, ".json", _refusal)
        stems = {item.id for item in found.items}
        if both := {stem for stem in stems if f"{stem}{_REFINED}" in stems}:
            found = discover_files(raw, ".json", lambda stem: _refusal(stem, both))
        items = [replace(item, id=_clip_of(item.id)) for item in found.items]
        return Discovery(sorted(items, key=lambda item: item.id), found.skipped)

    def read(self, item: RawItem) -> Iterator[SkeletonSample]:
        """Yields the one recording of the file, with its clip where that lies beside it."""
        name = RecordingName.parse(item.id)
        if name is None or name.activity not in CLASSES:
            raise DataError(f"{item.where}: {_refusal(item.id)}")
        yield SkeletonSample(
            id=item.id,
            label=CLASSES.index(name.activity),
            subject=name.subject,
            camera=name.camera,
            replication=name.replication,
            height=HEIGHT,
            width=WIDTH,
            clip=_clip_path(item),
            **parse_poses(item.read_bytes(), item.where)._asdict(),
        )


def _clip_of(stem: str) -> str:
    return stem.removesuffix(_REFINED)


def _refusal(stem: str, superseded: Set[str] = frozenset()) -> str | None:
    """Why a file is left out, None where it is not."""
    name = RecordingName.parse(_clip_of(stem))
    if name is None:
        return "the name is not ACTIVITY_pPP_rRR_vVV_cCC.json or …_pose3d.json"
    if name.activity == NO_CLASS:
        return f"{NO_CLASS} is none of the 31 classes"
    if name.activity not in CLASSES:
        return f"activity {name.activity!r} is not one of smarthome's"
    if stem in superseded:
        return f"the refined {stem}{_REFINED}.json is taken"
    return None


def _clip_path(item: RawItem) -> str | None:
    """The video, beside the poses or in a folder `mp4` there or one level up."""
    folder, file = Path(item.path).parent, f"{item.id}.mp4"
    places = (folder / file, folder / "mp4" / file, folder.parent / "mp4" / file)
    return next((str(place) for place in places if place.is_file()), None)
