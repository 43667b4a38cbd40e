"""MSR-Action3D (`msr_action3d`): which files, what their names say, the split.

The files are the owners' skeletons in real-world coordinates (`aAA_sSS_eEE_skeleton3D.txt`). The
recordings of `excluded.txt` are those that the owners' list of 557 (files_used_in_cvpr12_paper.txt:
Wang et al., "Mining Actionlet Ensemble for Action Recognition with Depth Cameras", CVPR 2012)
leaves out; class names: Li et al., "Action Recognition Based on a Bag of 3D Points", CVPRW 2010.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from skelray.datasets.msr_action3d.parser import parse_skeleton
from skelray.platform.dataset import (
    Dataset,
    Discovery,
    Protocol,
    RawItem,
    SkeletonSample,
    discover_files,
)
from skelray.platform.errors import DataError
from skelray.platform.skeleton.specs import MSR_ACTION3D

_NAME = re.compile(r"a([0-9]{2})_s([0-9]{2})_e([0-9]{2})")
_ENDING = "_skeleton3D"  # of a file's name before .txt

EXCLUDED = frozenset(Path(__file__).with_name("excluded.txt").read_text("utf-8").split())
SUBJECTS = range(1, 11)


class MSRAction3D(Dataset):
    """MSR-Action3D: 20 actions, 10 subjects, one camera, the 557 recordings that papers use."""

    name = "msr_action3d"
    skeleton = MSR_ACTION3D
    persons = 1
    classes = (
        "high arm wave",
        "horizontal arm wave",
        "hammer",
        "hand catch",
        "forward punch",
        "high throw",
        "draw x",
        "draw tick",
        "draw circle",
        "hand clap",
        "two hand wave",
        "side-boxing",
        "bend",
        "forward kick",
        "side kick",
        "jogging",
        "tennis swing",
        "tennis serve",
        "golf swing",
        "pickup & throw",
    )
    fps = 15.0  # "about 15", as the owners say
    licence = (
        "get the skeletons in real-world coordinates at "
        "https://sites.google.com/view/wanqingli/data-sets/msr-action3d "
        "(no licence is stated for the data)"
    )
    protocols = (
        Protocol(
            "xsub",
            "subject",
            train=frozenset((1, 3, 5, 7, 9)),
            holdout=frozenset((7,)),  # 20 % of what trains, with all actions
        ),
    )

    def discover(self, raw: Path) -> Discovery:
        """Lists the recordings below a folder or in a zip archive; ids are aAA_sSS_eEE."""
        return discover_files(raw, ".txt", _refusal, ending=_ENDING)

    def read(self, item: RawItem) -> Iterator[SkeletonSample]:
        """Yields the one recording of the file; its confidences are the joints' `score`."""
        match = _NAME.fullmatch(item.id)
        if not match:
            raise DataError(f"{item.where}: the name {item.id!r} is not aAA_sSS_eEE")
        action, subject, replication = map(int, match.groups())
        yield SkeletonSample(
            id=item.id,
            label=action - 1,
            subject=subject,
            replication=replication,
            fps=self.fps,
            **parse_skeleton(item.read_bytes(), item.where)._asdict(),
        )


def _refusal(stem: str) -> str | None:
    """Why a file is left out, None where it is not."""
    name = stem.removesuffix(_ENDING)
    match = _NAME.fullmatch(name)
    if not match or name == stem:
        return f"the name is not aAA_sSS_eEE{_ENDING}.txt"
    action, subject = int(match[1]), int(match[2])
    if not 1 <= action <= len(MSRAction3D.classes):
        return f"action {action} is not one of msr_action3d's 1 to {len(MSRAction3D.classes)}"
    if subject not in SUBJECTS:
        return f"subject {subject} is not one of msr_action3d's 1 to {len(SUBJECTS)}"
    return "not in the list of 557 files that papers use" if name in EXCLUDED else None
