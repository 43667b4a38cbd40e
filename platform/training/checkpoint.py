"""Checkpoints: a folder that appears whole by a rename, with tensors and a readable description.

`state.pt` holds tensors and plain values only, so that it loads with `weights_only=True`, in a zip
archive with a checksum of each; `checkpoint.json` says what made it. The newest one is where a run
goes on.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from skelray.platform import paths
from skelray.platform.errors import CheckpointError

VERSION = 2
_STATE, _ABOUT = "state.pt", "checkpoint.json"

_LOG = logging.getLogger(__name__)


class DamagedError(CheckpointError):
    """A checkpoint's files are cut, changed or missing."""


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
        """Opens one; DamagedError names what is missing."""
        try:
            about = json.loads((path / _ABOUT).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError, ValueError) as error:
            raise DamagedError(
                f"{path} is no checkpoint: {_ABOUT} cannot be read ({error})"
            ) from None
        if about.get("version") != VERSION:
            raise CheckpointError(
                f"{path} has checkpoint version {about.get('version')}, "
                f"this skelray reads {VERSION}"
            )
        return cls(path, about)

    def check(self) -> None:
        """DamagedError where the tensors' file is cut or its bytes have changed."""
        try:
            with zipfile.ZipFile(self.path / _STATE) as archive:
                damaged = archive.testzip()
        except (FileNotFoundError, zipfile.BadZipFile, EOFError) as error:
            raise self._damaged(str(error)) from None
        if damaged is not None:
            raise self._damaged(f"checksum of {damaged}")

    def load(self) -> dict[str, Any]:
        """The tensors, on the CPU; DamagedError where the file is."""
        try:
            state: dict[str, Any] = torch.load(
                self.path / _STATE, map_location="cpu", weights_only=True
            )
        except Exception as error:  # torch raises many kinds for a damaged file
            raise self._damaged(str(error)) from None
        return state

    def _damaged(self, reason: str) -> DamagedError:
        return DamagedError(f"{self.path / _STATE} is damaged ({' '.join(reason.split())[:120]})")

    def restore(self, module: nn.Module) -> None:
        """Gives a method these weights, strictly.

        CheckpointError where a tensor is missing, unknown or of another shape, naming it.
        """
        try:
            module.load_state_dict(self.load()["method"])
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:300]
            raise CheckpointError(f"{self.path} does not fit its method: {reason}") from None

    def require_run(self, about: Mapping[str, Any]) -> None:
        """CheckpointError unless it was made by the run of this description."""
        for key, what in (("name", "method"), ("run", "run")):
            own, expected = self.about.get(key), about.get(key)
            if own != expected:
                raise CheckpointError(
                    f"{self.path} is of {what} {own}, not {expected}: move it elsewhere"
                )


def save(
    folder: Path, *, state: Mapping[str, Any], about: Mapping[str, Any], keep: int
) -> Checkpoint:
    """Writes `folder/step-…` atomically, then removes all but the newest `keep` and phases' ends.

    CheckpointError where it cannot be written; what was there stays.
    """
    described = {"version": VERSION, **about}
    target = folder / name_of(about["step"])
    scratch = folder / f".{target.name}.{os.getpid()}"
    try:
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        with (scratch / _STATE).open("wb") as file:
            torch.save(dict(state), file)
            file.flush()
            os.fsync(file.fileno())  # a rename may reach the disk before the bytes
        paths.write_json(scratch / _ABOUT, described)
        if target.exists():  # a step repeated after a restart
            shutil.rmtree(target)
        scratch.rename(target)
        paths.flush_folder(folder)
    except (OSError, RuntimeError) as error:
        shutil.rmtree(scratch, ignore_errors=True)
        if (cause := _of_the_system(error)) is None:
            raise
        last = latest(folder)
        raise CheckpointError(
            f"checkpoint {target} cannot be written ({cause}); the last one is "
            f"{last.path.name if last else 'none'}: make room, then give the same command again"
        ) from None
    ends = set(described.get("progress", {}).get("ended", {}).values())
    for old in _folders(folder)[:-keep]:
        if old.name not in ends:
            shutil.rmtree(old)
    return Checkpoint(target, described)


def _of_the_system(error: BaseException | None) -> OSError | None:
    """The system's error, after which torch's writer raises one about its own position."""
    while error is not None and not isinstance(error, OSError):
        error = error.__context__
    return error


def name_of(step: int) -> str:
    """The folder's name of the checkpoint after so many optimiser steps of the run."""
    return f"step-{step:08d}"


def latest(folder: Path) -> Checkpoint | None:
    """The newest checkpoint below `folder`, or None."""
    found = _folders(folder)
    return Checkpoint.open(found[-1]) if found else None


def set_damaged_aside(folder: Path) -> None:
    """Renames the newest checkpoints up to the first whole one, saying so.

    A run is a function of its configuration: from an earlier checkpoint it ends with the same
    weights. CheckpointError where none is whole.
    """
    damaged: dict[Path, DamagedError] = {}
    for path in reversed(_folders(folder)):
        try:
            Checkpoint.open(path).check()
        except DamagedError as error:
            damaged[path] = error
        else:
            break
    else:
        if damaged:
            raise CheckpointError(f"no checkpoint in {folder} is whole: --fresh starts anew")
    for path, reason in damaged.items():
        aside = path.with_name(f"damaged-{path.name}")
        shutil.rmtree(aside, ignore_errors=True)
        with suppress(FileNotFoundError):  # the orphan of a killed driver has removed it itself
            path.rename(aside)
            _LOG.warning("%s: set aside as %s", reason, aside.name)


def remove_unfinished(folder: Path) -> None:
    """Removes what killed processes were writing."""
    for scratch in folder.glob(".step-*"):
        shutil.rmtree(scratch, ignore_errors=True)


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("step-*") if path.is_dir())
