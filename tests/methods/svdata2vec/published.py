"""What the parity tests share: checkpoints as the original writes them, and its noise as views."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from skelray.methods.svdata2vec.svdata2vec import SVData2vec
from skelray.platform.method import Progress

NOW = Progress(phase="pretrain", epoch=0, epochs=2, step=0, step_in_epoch=0, steps_per_epoch=1)


def assert_close(ours: Tensor, theirs: Tensor, tolerance: float = 1e-5) -> None:
    """Within `tolerance` of the largest expected value."""
    difference = (ours.detach().double() - theirs.double()).abs().max()
    assert difference <= tolerance * theirs.abs().max(), float(difference)


def save(folder: Path, state: Mapping[str, Tensor], epoch: int = 399) -> list[Path]:
    """A checkpoint as the original writes it: not the weights alone."""
    file = folder / f"checkpoint-{epoch}.pth"
    arguments = argparse.Namespace(lr=1e-3, config="pretrain.yaml", model_args={"depth": 8})
    whole = {"model": dict(state), "optimizer": {"state": {}, "param_groups": []}}
    torch.save({**whole, "epoch": epoch, "scaler": {}, "args": arguments}, file)
    return [file]


def of_the_student(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A golden's state without the teacher, which the original does not save."""
    return {key: value for key, value in state.items() if not key.startswith("teacher.")}


def load_teacher(method: SVData2vec, state: Mapping[str, Tensor]) -> None:
    """The teacher of a golden's state, whose keys are those of the blocks."""
    names = {"attn.qkv": "attention.qkv", "attn.proj": "attention.projection"}
    names |= {"mlp.fc1": "mlp.0", "mlp.fc2": "mlp.2"}
    ours = {}
    for key, value in state.items():
        if key.startswith("teacher."):
            number, _, rest = key.removeprefix("teacher.").partition(".")
            module, _, leaf = rest.rpartition(".")
            ours[f"{number}.{names.get(module, module)}.{leaf}"] = value
    method.teacher.load_state_dict(ours)


def views_of(inputs: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Any]:
    """The original's arguments as views."""
    return {
        "video": inputs["video"][:, 0].to(dtype),
        "joints": inputs["keypoint"].to(dtype),
        "video_noise": inputs["noise_video"],
        "skeleton_noise": inputs["noise_skeleton"],
        "weight": torch.ones(len(inputs["video"]), dtype=dtype),
    }
