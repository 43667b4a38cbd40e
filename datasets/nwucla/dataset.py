"""N-UCLA (`nwucla`): one JSON file per recording, one person, Kinect v1 joints in metres.

The files are those of the field's usual skeleton release (`all_sqe/aAA_sSS_eEE_vVV.json`). It has
no body ids, joint states or frame rate. None of its frames is all zeros, so every frame holds one
body; the only joints at exactly zero (six in one frame of a04_s01_e01_v01 and of a04_s04_e02_v01)
are lost ones and stay as they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from skelray.platform.dataset import (
    Dataset,
    Discovery,
    Protocol,
    RawItem,
    SkeletonSample,
    discover_files,
)
from skelray.platform.errors import DataError
from skelray.platform.skeleton.specs import KINECT_V1

ACTIONS = {
    1: "pick up with one hand",
    2: "pick up with two hands",
    3: "drop trash",
    4: "walk around",
    5: "sit down",
    6: "stand up",
    8: "donning",
    9: "doffing",
    11: "throw",
    12: "carry",
}  # the numbers in the file names; 7 and 10 do not occur

_LABELS = {action: label for label, action in enumerate(ACTIONS)}
_NAME = re.compile(r"a([0-9]{2})_s([0-9]{2})_e([0-9]{2})_v([0-9]{2})")


class NWUCLA(Dataset):
    """Northwestern-UCLA Multiview Action 3D: 10 actions, 10 subjects, 3 cameras."""

    name = "nwucla"
    skeleton = KINECT_V1
    persons = 1
    classes = tuple(ACTIONS.values())
    licence = (
        "get all_sqe.zip by the link in the README of https://github.com/Uason-Chen/CTR-GCN "
        "(no licence is stated for the data)"
    )
    protocols = (
        Protocol(
            "xview",
            "camera",
            train=frozenset((1, 2)),
            holdout=frozenset((3, 9)),  # 19 % of what trains
        ),
    )

    def discover(self, raw: Path) -> Discovery:
        """Lists the recordings sorted by name; other JSON files are skipped with the reason."""
        return discover_files(raw, ".json", _refusal)

    def read(self, item: RawItem) -> Iterator[SkeletonSample]:
        """Yields the one recording of the file; `replication` is the number after `e`."""
        match = _NAME.fullmatch(item.id)
        if not match or _refusal(item.id):
            raise DataError(f"{item.where}: {_refusal(item.id)}")
        action, subject, replication, camera = map(int, match.groups())
        xyz = _read_json(item, label=_LABELS[action])
        yield SkeletonSample(
            id=item.id,
            frame_bodies=np.ones(len(xyz), dtype=np.int32),
            xyz=xyz,
            label=_LABELS[action],
            subject=subject,
            camera=camera,
            replication=replication,
        )


def _refusal(stem: str) -> str | None:
    """Why a file is left out, None where it is not."""
    match = _NAME.fullmatch(stem)
    if not match:
        return "the name is not aAA_sSS_eEE_vVV.json"
    if int(match[1]) not in ACTIONS:
        return f"action {int(match[1])} is not one of nwucla's"
    return None


def _read_json(item: RawItem, label: int) -> np.ndarray:
    """The coordinates (T, 20, 3) float32 of a file whose name says `label` (0-based)."""
    content = _load(item)
    if content["file_name"] != item.id:
        raise DataError(
            f"{item.where}: file_name is {content['file_name']!r}, expected {item.id!r}"
        )
    if type(content["label"]) is not int or content["label"] != label + 1:
        raise DataError(
            f"{item.where}: label is {content['label']!r}, expected {label + 1} for this action"
        )
    return _coordinates(item.where, content["skeletons"])


def _load(item: RawItem) -> dict[str, Any]:
    """The JSON object of a file, with the three keys that a recording has."""
    try:
        content = json.loads(item.read_bytes())
    except json.JSONDecodeError as error:
        raise DataError(f"{item.where}, line {error.lineno}: not valid JSON, {error.msg}") from None
    except (UnicodeDecodeError, RecursionError):
        raise DataError(f"{item.where}: not a JSON text") from None
    if not isinstance(content, dict):
        raise DataError(f"{item.where}: expected a JSON object with file_name, skeletons and label")
    for key in ("file_name", "skeletons", "label"):
        if key not in content:
            raise DataError(f"{item.where}: the key {key!r} is missing")
    return content


def _coordinates(path: str, skeletons: object) -> np.ndarray:
    """Turns nested lists into (T, 20, 3) float32, rounding to the nearest."""
    joints = KINECT_V1.n_joints
    try:
        values = np.array(skeletons)
    except ValueError:  # lists of different lengths
        raise DataError(f"{path}: skeletons is ragged, expected (T, {joints}, 3) numbers") from None
    if values.ndim != 3 or values.shape[1:] != (joints, 3) or values.dtype.kind not in "fi":
        found = f"{values.shape} of {values.dtype}"
        raise DataError(f"{path}: skeletons is {found}, expected (T, {joints}, 3) numbers")
    with np.errstate(over="ignore"):  # what float32 cannot hold is found by the next check
        xyz = values.astype(np.float32)
    finite = np.isfinite(xyz).all(axis=-1)
    if not finite.all():
        frame, joint = np.unravel_index(int(np.argmin(finite)), finite.shape)
        place = f"skeletons[{frame}][{joint}]"
        raise DataError(
            f"{path}: {place} is {values[frame, joint].tolist()}, expected finite numbers"
        )
    return xyz
