"""The data set `synthetic`: recordings that the project makes itself, read like NTU's."""

from __future__ import annotations

import json
import os
from pathlib import Path

from skelray.datasets.ntu.dataset import SkeletonFolder
from skelray.datasets.synthetic.actions import ACTIONS
from skelray.datasets.synthetic.camera import SETUPS
from skelray.datasets.synthetic.curves import FPS
from skelray.datasets.synthetic.recordings import LIMITS, members, recording_text
from skelray.platform.dataset import Discovery, Protocol
from skelray.platform.errors import DataError, UsageError

MARKER = "synthetic.json"

_TRAIN = frozenset(range(1, LIMITS[1] + 1, 2))  # every second subject: half of them in every size
_HOLDOUT = frozenset(range(3, LIMITS[1] + 1, 8))  # every fourth of these


class Synthetic(SkeletonFolder):
    """Sixteen actions of an articulated body, seen by three cameras; see README.md."""

    name = "synthetic"
    classes = tuple(action.name for action in ACTIONS)
    version = 2
    fps = float(FPS)
    setups = max(SETUPS)
    licence = "Made by this project: prepare it without a raw folder"
    protocols = (
        Protocol("xsub", "subject", _TRAIN, _HOLDOUT),
        Protocol("xview", "camera", frozenset((2, 3)), _HOLDOUT),
    )

    def generate(self, raw: Path, *, size: str, seed: int) -> None:
        """Writes the `.skeleton` files of a set that are not there yet, and which set it is.

        The same size and seed give the same bytes. A set interrupted at any point is completed by
        the next call; a complete one is left as it is.

        Args:
            raw: the set's own folder, made where it does not exist.
            size: `tiny`, `small`, `full`, or a number of subjects such as `20-subjects`.
            seed: not negative.

        Raises:
            UsageError: unknown size, negative seed, or `raw` holds something else.
        """
        recordings = members(size)
        if seed < 0:
            raise UsageError(f"seed {seed} of {self.name} is negative: choose 0 or more")
        _claim(raw, size, seed, len(recordings))
        for recording in recordings:
            path = raw / f"{recording.name}.skeleton"
            if not path.exists():
                _write(path, recording_text(recording, seed))

    def discover(self, raw: Path) -> Discovery:
        """Lists the recordings; UsageError where the set is not complete."""
        found = super().discover(raw)
        marker = raw / MARKER
        if marker.exists() and len(found.items) != (expected := _read_marker(marker)["recordings"]):
            raise UsageError(
                f"{raw} holds {len(found.items)} of {expected} recordings: generate the set again"
            )
        return found


def _claim(raw: Path, size: str, seed: int, recordings: int) -> None:
    """Marks the folder as this set's; UsageError where it is another's."""
    wanted = {"size": size, "seed": seed, "generator": Synthetic.version, "recordings": recordings}
    marker = raw / MARKER
    if marker.exists():
        held = _read_marker(marker)
        if held != wanted:
            different = ", ".join(
                f"{key} {held.get(key)} instead of {wanted[key]}"
                for key in wanted
                if held.get(key) != wanted[key]
            )
            raise UsageError(
                f"{raw} holds another set ({different}): delete it or choose another folder"
            )
        return
    if raw.exists() and not raw.is_dir():
        raise UsageError(f"{raw} is not a folder: choose another place")
    if next(raw.rglob("*.skeleton"), None):
        raise UsageError(f"{raw} holds recordings but no {MARKER}: choose another folder")
    raw.mkdir(parents=True, exist_ok=True)
    _write(marker, json.dumps(wanted) + "\n")


def _read_marker(marker: Path) -> dict[str, object]:
    """What the folder's marker says."""
    try:
        held = json.loads(marker.read_text(encoding="utf-8"))
    except ValueError:
        held = None
    if not isinstance(held, dict) or "recordings" not in held:
        raise DataError(f"{marker} is damaged: delete its folder and generate the set again")
    return held


def _write(path: Path, text: str) -> None:
    """Writes the whole file or none of it."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_bytes(text.encode("ascii"))
    unfinished.replace(path)
