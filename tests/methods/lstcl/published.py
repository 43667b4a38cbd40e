"""What the tests of LSTCL share: checkpoints as the original writes them, what is close."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from skelray.methods.lstcl.lstcl import LSTCL
from skelray.platform.method import Progress
from skelray.platform.published import load_published


def assert_close(ours: Tensor, theirs: Tensor, tolerance: float = 1e-5) -> None:
    """Within `tolerance` of the largest expected value."""
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    difference = (ours.double() - theirs.double()).abs().max()
    assert difference <= tolerance * theirs.abs().max(), float(difference)


def save(folder: Path, model1: dict[str, Tensor], model2: dict[str, Tensor]) -> list[Path]:
    """Both files of an epoch."""
    files = [folder / f"epoch19_model{number}.pt" for number in (1, 2)]
    for file, state in zip(files, (model1, model2), strict=True):
        torch.save(state, file, _use_new_zipfile_serialization=False)
    return files


def load(folder: Path, golden: Callable[[str], Any], **config: Any) -> LSTCL:
    """The method with the weights of both references, through the importer."""
    model1, model2 = (golden(name).state() for name in ("lstcl_encoder", "lstcl_aim"))
    method = load_published("lstcl", save(folder, model1, model2), **config)
    assert isinstance(method, LSTCL)
    return method


def at(phase: str, epoch: int = 0, epochs: int = 10) -> Progress:
    """The first step of an epoch."""
    return Progress(
        phase=phase, epoch=epoch, epochs=epochs, step=0, step_in_epoch=0, steps_per_epoch=1
    )
