"""Checkpoints: a folder that appears whole by a rename, with tensors and a readable description.

`state.pt` holds tensors and plain values only, so that it loads with `weights_only=True`;
`checkpoint.json` says what made it. The newest one is where a run goes on.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from skelray.platform import paths
from skelray.platform.errors import CheckpointError

VERSION = 1
_STATE, _ABOUT = "state.pt", "checkpoint.json"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk; `about` is its description."""

    path: Path
    about: dict[str, Any]

    @property
    def step(self) -> int:
        """Optimiser steps since the run began."""
        return int(self.about["step"])

    @property
    def finished(self) -> bool:
        """True for the checkpoint after the last step of the last phase."""
        return bool(self.about["finished"])

    @classmethod
    def open(cls, path: Path) -> Checkpoint:
        """Opens one; CheckpointError names what is missing."""
        try:
            about = json.loads((path / _ABOUT).read_text(encoding="utf-8"))
        except (OSError, json.JSONDecodeError) as error:
            raise CheckpointError(
                f"{path} is no checkpoint: {_ABOUT} cannot be read ({error})"
            ) from None
        if about.get("version") != VERSION:
            raise CheckpointError(
                f"{path} has checkpoint version {about.get('version')}, "
                f"this skelray reads {VERSION}"
            )
        return cls(path, about)

    def load(self) -> dict[str, Any]:
        """The tensors, on the CPU; CheckpointError where the file is damaged."""
        try:
            state: dict[str, Any] = torch.load(
                self.path / _STATE, map_location="cpu", weights_only=True
            )
        except Exception as error:  # torch raises many kinds for a damaged file
            reason = " ".join(str(error).split())[:120]
            raise CheckpointError(
                f"{self.path / _STATE} is damaged ({reason}): delete the folder to go on from the "
                "checkpoint before it"
            ) from None
        return state


def save(
    folder: Path, *, state: Mapping[str, Any], about: Mapping[str, Any], keep: int
) -> Checkpoint:
    """Writes `folder/step-…` atomically, then removes all but the newest `keep`."""
    described = {"version": VERSION, **about}
    target = folder / f"step-{int(about['step']):08d}"
    scratch = folder / f".{target.name}.{os.getpid()}"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        torch.save(dict(state), scratch / _STATE)
        paths.write_json(scratch / _ABOUT, described)
        if target.exists():  # a step repeated after a restart
            shutil.rmtree(target)
        scratch.rename(target)
    except OSError as error:
        shutil.rmtree(scratch, ignore_errors=True)
        raise CheckpointError(f"checkpoint {target} cannot be written: {error}") from None
    for old in _folders(folder)[:-keep]:
        shutil.rmtree(old)
    return Checkpoint(target, described)


def latest(folder: Path) -> Checkpoint | None:
    """The newest checkpoint below `folder`, or None."""
    found = _folders(folder)
    return Checkpoint.open(found[-1]) if found else None


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("step-*") if path.is_dir())
