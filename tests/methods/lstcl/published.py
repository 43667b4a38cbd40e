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


NORM = ("weight", "bias", "running_mean", "running_var")


class Tensors:
    """Random tensors under the keys of the published networks' parts."""

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(0)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator)

    def norm(self, key: str, width: int) -> dict[str, Tensor]:
        own = {f"{key}.{name}": self.normal(width).abs() for name in NORM}
        return {**own, f"{key}.num_batches_tracked": torch.tensor(7)}

    def layer(self, key: str, *shape: int, bias: int | None = None) -> dict[str, Tensor]:
        return {f"{key}.weight": self.normal(*shape), f"{key}.bias": self.normal(bias or shape[0])}

    def block(
        self, key: str, before: int, after: int, kernel: int = 9, *, residual: bool = False
    ) -> dict[str, Tensor]:
        found = {
            **self.layer(f"{key}.gcn.conv", 11 * after, before, 1, 1),
            **self.norm(f"{key}.tcn.0", after),
            **self.layer(f"{key}.tcn.2", after, after, kernel, 1),
            **self.norm(f"{key}.tcn.3", after),
        }
        if residual:
            found |= self.layer(f"{key}.residual.0", after, before, 1, 1)
            found |= self.norm(f"{key}.residual.1", after)
        return found

    def head(self, key: str, before: int) -> dict[str, Tensor]:
        return {
            **self.layer(f"{key}.gcn_recon.deconv", before, 330, 1, 1, bias=330),
            **self.norm(f"{key}.tcn_recon.0", 30),
            **self.layer(f"{key}.tcn_recon.2", 30, 30, 1, 1),
            **self.norm(f"{key}.tcn_recon.3", 30),
        }

    def mlp(self, key: str, inputs: int, inner: int, outputs: int) -> dict[str, Tensor]:
        return {
            **self.layer(f"{key}.fc1", inner, inputs),
            **self.layer(f"{key}.fc2", outputs, inner),
            **self.norm(f"{key}.bn", outputs),
        }


def original(
    *, channels: int = 4, hidden: int = 8, classes: int = 60, queues: tuple[int, int] = (12, 6)
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Both files' tensors by the list of keys of the published checkpoints, random."""
    make = Tensors()
    links, video = _links(make, hidden), _video(make, queues[1])
    second = links | {f"video_encoder.{key}": value for key, value in video.items()}
    return _encoder(make, channels, classes, queues[0]), second


def _encoder(make: Tensors, channels: int, classes: int, queue: int) -> dict[str, Tensor]:
    """Encoder, recognition and prediction head."""
    wide = [channels] * 3 + [2 * channels] * 3 + [4 * channels] * 3
    found = {
        "A": make.normal(9, 25, 25),
        "queue": make.normal(queue, 3, 10, 25),
        "queue_ptr": torch.tensor([5]),
        **make.norm("data_bn", 75),
        **make.layer("fcn", classes, 4 * channels, 1, 1),
        **make.head("recon_layer_6_encoder_q", 2 * channels + 3),
        **make.head("recon_layer_6_encoder_k", 2 * channels + 3),
    }
    for number, (before, after) in enumerate(zip([3, *wide[:-1]], wide, strict=True)):
        found |= make.block(f"class_layer_{number}", before, after, residual=number in (3, 6))
    for number, kernel in enumerate((9, 9, 9, 9, 3, 5)):
        before = (4 if number == 0 else 2) * channels
        name = f"recon_layer_{number}"
        found |= make.block(name, before, 2 * channels, kernel, residual=number < 5)
    for number in range(9):
        found |= {f"edge_importance{r}.{number}": make.normal(9, 25, 25) for r in ("", "_recon")}
    return found


def _links(make: Tensors, hidden: int) -> dict[str, Tensor]:
    """Link inference: encoder and decoder."""
    found: dict[str, Tensor] = {}
    for number, inputs in enumerate((150, 2 * hidden, hidden, 3 * hidden), start=1):
        found |= make.mlp(f"encoder.mlp{number}", inputs, hidden, hidden)
    found |= make.layer("encoder.fc_out", 3, hidden)
    for kind in range(3):
        found |= make.layer(f"decoder.msg_fc1.{kind}", hidden, 2 * hidden)
        found |= make.layer(f"decoder.msg_fc2.{kind}", hidden, hidden)
    for gate in "rin":
        found[f"decoder.hidden_{gate}.weight"] = make.normal(hidden, hidden)
        found |= make.layer(f"decoder.input_{gate}", hidden, 3)
    for number, outputs in ((1, hidden), (2, hidden), (3, 3)):
        found |= make.layer(f"decoder.out_fc{number}", outputs, hidden)
    return found


def _video(make: Tensors, queue: int) -> dict[str, Tensor]:
    """The video part of link inference."""
    found = {**make.layer("tsn_fc.0", 4, 96), **make.mlp("mlp_tsn_decode", 5, 32, 50)}
    for name in ("inter", "video"):
        found[f"queue_{name}"] = make.normal(queue, 64, 3)
        found[f"queue_{name}_ptr"] = torch.tensor([3])
    for name, frames in (("inter", 1), ("intra", 1), ("segments", 5)):
        for twin in "qk":
            found |= make.mlp(f"mlp_{name}_decode_{twin}", frames, 32, 50)
            sizes = ((600, 512, 300), (300, 256, 128), (128, 128, 64))
            for place, three in enumerate(sizes):
                found |= make.mlp(f"mlp_{name}_encode_{twin}.{place}", *three)
    order = ((1200, 1024, 512), (512, 512, 256), (256, 128, 128), (128, 64, 32))
    for place, three in enumerate(order):
        found |= make.mlp(f"mlp_tsn_encode.{place}", *three)
    return found
