"""Which set a folder holds, and files that are there whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from skelray.platform.errors import DataError, UsageError


def claim(folder: Path, marker: str, wanted: Mapping[str, object], pattern: str) -> None:
    """Marks a folder, made where it does not exist, as that of `wanted`.

    Args:
        folder: of the set.
        marker: the name of the file in it that says what it holds.
        wanted: what it shall hold.
        pattern: of the set's files, which shall not be there before the marker is.

    Raises:
        UsageError: the folder is another set's, or no folder.
        DataError: the marker is damaged.
    """
    path = folder / marker
    if path.exists():
        held = read_marker(path, *wanted)
        if held != wanted:
            different = ", ".join(
                f"{key} {held[key]} instead of {wanted[key]}"
                for key in wanted
                if held[key] != wanted[key]
            )
            raise UsageError(
                f"{folder} holds another set ({different}): delete it or choose another folder"
            )
        return
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is not a folder: choose another place")
    if next(folder.rglob(pattern), None):
        raise UsageError(f"{folder} holds recordings but no {marker}: choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(path, (json.dumps(wanted) + "\n").encode("ascii"))


def read_marker(path: Path, *keys: str) -> dict[str, object]:
    """What a folder's marker says; DataError where it does not say `keys`."""
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        held = None
    if not isinstance(held, dict) or not held.keys() >= set(keys):
        raise DataError(f"{path} is damaged: delete its folder and generate the set again")
    return held


def write_whole(path: Path, content: bytes) -> None:
    """Writes the whole file or none of it."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
