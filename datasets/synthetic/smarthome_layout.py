"""Writes made recordings as Toyota Smarthome's files: LCR-Net's poses as JSON, one file per clip.

For tests and for trying out methods of poses and video where the data set itself is not at hand.
The actions get the names of Smarthome's activities, some of which the cross-view protocols leave
out; subjects and cameras get numbers that fill every part of its protocols.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from skelray.datasets.synthetic.camera import Lens
from skelray.datasets.synthetic.faults import Tracked
from skelray.datasets.synthetic.recordings import Recording, record
from skelray.platform.skeleton.specs import KINECT_V2, SMARTHOME13

LENS = Lens(525.0, 525.0, 319.5, 239.5)  # 640 x 480

# In the order of `actions.ACTIONS`.
_ACTIVITIES = (
    "Takepills", "Usetablet", "WatchTV", "Cook.Cleanup", "Cook.Stir", "Cook.Cut", "Drink.Fromcup",
    "Cutbread", "Pour.Frombottle", "Readbook", "Sitdown", "Getup", "Laydown", "Walk", "Enter",
    "Leave",
)  # fmt: skip
# Of subjects 1, 2, …: as in `dataset.Synthetic` odd ones train, of which 3 and 11 are held out.
_SUBJECTS = (3, 2, 19, 10, 4, 11, 6, 14, 7, 16, 25, 18, 9, 20, 12, 13, 15, 17)
_CAMERAS = {1: 2, 2: 1, 3: 3}  # the one between the others tests
_JOINTS = [KINECT_V2.joints.index(joint) for joint in SMARTHOME13.joints]

Write = Callable[[Path, Tracked], None]
"""Writes what a camera saw as a video of 640 x 480 pixels to a path."""


def clip_name(recording: Recording) -> str:
    """Smarthome's name of a recording, such as `Sitdown_p03_r01_v01_c02`; 18 subjects at most."""
    return (
        f"{_ACTIVITIES[recording.action - 1]}_p{_SUBJECTS[recording.subject - 1]:02d}"
        f"_r{recording.replication:02d}_v01_c{_CAMERAS[recording.camera]:02d}"
    )


def write_smarthome(
    folder: Path, recordings: Iterable[Recording], *, seed: int = 0, video: Write | None = None
) -> None:
    """Writes `json/NAME.json` for each recording below `folder`, and with `video` `mp4/NAME.mp4`.

    The same recordings and seed give the same bytes.
    """
    for name in ("json", "mp4") if video else ("json",):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for recording in recordings:
        tracked, name = record(recording, seed), clip_name(recording)
        text = json.dumps(poses(tracked))
        (folder / "json" / f"{name}.json").write_text(text, encoding="ascii")
        if video:
            video(folder / "mp4" / f"{name}.mp4", tracked)


def poses(tracked: Tracked) -> dict[str, Any]:
    """The file's content: detections by frame, in the order of the tracker's list."""
    xyz = tracked.xyz[:, :, _JOINTS]  # (B, T, 13, 3)
    solid, flat = _blocks(xyz, 6), _blocks(LENS.project(xyz), 3)
    frames = [
        [{"pose2d": flat[body][frame], "pose3d": solid[body][frame]} for body in bodies]
        for frame, bodies in enumerate(tracked.listed)
    ]
    return {"njts": len(_JOINTS), "frames": frames}


def _blocks(joints: np.ndarray, decimals: int) -> list[list[list[float]]]:
    """(B, T, 13, C) as lists (B, T, 13 C): all x, then all y, then all z."""
    blocks = joints.swapaxes(-1, -2).round(decimals)
    rows: list[list[list[float]]] = blocks.reshape(*blocks.shape[:2], -1).tolist()
    return rows
