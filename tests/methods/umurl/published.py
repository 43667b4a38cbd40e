"""What the tests share: the original's keys by the specification, and checkpoints as it saves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from skelray.platform.method import Progress
from skelray.platform.nn.positions import sinusoids
from tests.conftest import golden_weight

NOW = Progress(phase="pretrain", epoch=0, epochs=2, step=0, step_in_epoch=0, steps_per_epoch=1)
NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def assert_close(ours: Tensor, theirs: Tensor, tolerance: float = 1e-5) -> None:
    """Within `tolerance` of the largest expected value."""
    difference = (ours.detach().double() - theirs.double()).abs().max()
    assert difference <= tolerance * theirs.abs().max(), float(difference)


def save(folder: Path, state: Mapping[str, Tensor]) -> list[Path]:
    """A checkpoint as the original writes it, of a network within DDP."""
    file = folder / "checkpoint_0450.pth.tar"
    wrapped = {f"module.{key}": value for key, value in state.items()}
    optimiser = {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"lr": 5e-4}]}
    torch.save({"epoch": 451, "state_dict": wrapped, "optimizer": optimiser}, file)
    return [file]


def linear(key: str, before: int, after: int) -> dict[str, list[int]]:
    return {f"{key}.weight": [after, before], f"{key}.bias": [after]}


def norm(key: str, width: int, names: tuple[str, ...] = NORM[:2]) -> dict[str, list[int]]:
    return {f"{key}.{name}": [] if "num" in name else [width] for name in names}


def shapes(
    *, dim: int = 8, frames: int = 16, projection: int = 12, depth: int = 1, classes: int = 0
) -> dict[str, list[int]]:
    """Section 4.5, without positions: projectors, or with `classes` a classifier instead."""
    found = {}
    for stream in "jbm":
        for side, width in (("t", 150), ("s", 3 * frames)):
            place = f"backbone.{stream}_emb.{side}_embedding"
            found |= linear(f"{place}.0", width, dim) | norm(f"{place}.1", dim)
            found |= linear(f"{place}.3", dim, dim)
    for side in "ts":
        found[f"backbone.mm_fusion.{side}_fusion.0.weight"] = [dim, dim]
    for side in "ts":
        for number in range(depth):
            place = f"backbone.ma_encoder.{side}_tr.layers.{number}"
            found[f"{place}.self_attn.in_proj_weight"] = [3 * dim, dim]
            found[f"{place}.self_attn.in_proj_bias"] = [3 * dim]
            found |= linear(f"{place}.self_attn.out_proj", dim, dim)
            found |= linear(f"{place}.linear1", dim, dim) | linear(f"{place}.linear2", dim, dim)
            found |= norm(f"{place}.norm1", dim) | norm(f"{place}.norm2", dim)
    if classes:
        return found | linear("fc", 2 * dim, classes)
    for stream in "jbm":
        for layer, after in ((0, 2 * dim), (3, 2 * dim), (6, projection)):
            found |= linear(f"{stream}_projector.{layer}", 2 * dim, after)
            if layer < 6:
                found |= norm(f"{stream}_projector.{layer + 1}", after, NORM)
    return found


def state_of(**sizes: int) -> dict[str, Tensor]:
    """A checkpoint's tensors, each told by its key."""
    state = {key: golden_weight(key, shape) for key, shape in shapes(**sizes).items()}
    return {**state, "backbone.ma_encoder.pe.pe": sinusoids(200, sizes.get("dim", 8))[None]}
