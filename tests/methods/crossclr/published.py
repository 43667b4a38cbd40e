"""What the parity tests of the family share."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor


def assert_close(ours: Tensor, theirs: Tensor, tolerance: float = 1e-5) -> None:
    """Within `tolerance` of the largest expected value."""
    difference = (ours.double() - theirs.double()).abs().max()
    assert difference <= tolerance * theirs.abs().max(), float(difference)


def save(folder: Path, state: dict[str, Tensor]) -> list[Path]:
    """A checkpoint as the original writes it."""
    file = folder / "epoch300_model.pt"
    torch.save(state, file, _use_new_zipfile_serialization=False)
    return [file]
