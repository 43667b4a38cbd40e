"""What the tests of Skeleton-Contrast share: checkpoints by the specification's list of keys."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.conftest import golden_weight

NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
WIDTHS = {"sequence": 8, "graph": 16, "image": 64}  # of features, with the sizes below
PROJECTED, QUEUE = 6, 12


def assert_close(ours: Tensor, theirs: Tensor, tolerance: float = 1e-5) -> None:
    """Within `tolerance` of the largest expected value."""
    difference = (ours.detach().double() - theirs.double()).abs().max()
    assert difference <= tolerance * theirs.abs().max(), float(difference)


def save(folder: Path, state: dict[str, Tensor], **beside: Any) -> list[Path]:
    """A checkpoint as the original writes it: beside its state dict there is more."""
    file = folder / "checkpoint_0450.pth.tar"
    state = {f"module.{key}": value for key, value in state.items()}
    torch.save({"epoch": 451, "state_dict": state, "optimizer": {"state": {}}, **beside}, file)
    return [file]


def sequence_shapes(hidden: int = 4, layers: int = 2) -> dict[str, list[int]]:
    found = {}
    for layer in range(layers):
        for end in ("", "_reverse"):
            inputs = 150 if layer == 0 else 2 * hidden
            for name, shape in (
                ("weight_ih", [3 * hidden, inputs]),
                ("weight_hh", [3 * hidden, hidden]),
                ("bias_ih", [3 * hidden]),
                ("bias_hh", [3 * hidden]),
            ):
                found[f"encoder.gru.{name}_l{layer}{end}"] = shape
    return found


def norm_shapes(key: str, width: int) -> dict[str, list[int]]:
    return {f"{key}.{name}": [] if name == NORM[4] else [width] for name in NORM}


def convolution_shapes(key: str, after: int, before: int, *kernel: int) -> dict[str, list[int]]:
    return {f"{key}.weight": [after, before, *kernel], f"{key}.bias": [after]}


def graph_shapes(channels: int = 4) -> dict[str, list[int]]:
    found = norm_shapes("data_bn", 150)
    widths = [3] + [channels] * 4 + [2 * channels] * 3 + [4 * channels] * 3
    for number in range(1, 11):
        before, after = widths[number - 1 : number + 1]
        found[f"l{number}.gcn1.PA"] = [3, 25, 25]
        for subset in range(3):
            for part, width in (("a", after // 4), ("b", after // 4), ("d", after)):
                key = f"l{number}.gcn1.conv_{part}.{subset}"
                found |= convolution_shapes(key, width, before, 1, 1)
        found |= norm_shapes(f"l{number}.gcn1.bn", after)
        found |= convolution_shapes(f"l{number}.tcn1.conv", after, after, 9, 1)
        found |= norm_shapes(f"l{number}.tcn1.bn", after)
        if number in (1, 5, 8):
            found |= convolution_shapes(f"l{number}.gcn1.down.0", after, before, 1, 1)
            found |= norm_shapes(f"l{number}.gcn1.down.1", after)
        if number in (5, 8):
            found |= convolution_shapes(f"l{number}.residual.conv", after, before, 1, 1)
            found |= norm_shapes(f"l{number}.residual.bn", after)
    return found


def image_shapes(channels: int = 16) -> dict[str, list[int]]:
    found = {}
    for m in ("", "m"):
        found |= convolution_shapes(f"conv1{m}.0", channels, 3, 1, 1)
        found |= convolution_shapes(f"conv2{m}", channels, channels, 3, 1)
        found |= convolution_shapes(f"conv3{m}.0", channels // 2, 25, 3, 3)
        found |= convolution_shapes(f"conv4{m}.0", channels, channels // 2, 3, 3)
    found |= convolution_shapes("conv5.0", 2 * channels, 2 * channels, 3, 3)
    return found | convolution_shapes("conv6.0", 4 * channels, 2 * channels, 3, 3)


SHAPES = {"sequence": sequence_shapes, "graph": graph_shapes, "image": image_shapes}


def head_shapes(width: int, projected: int = PROJECTED) -> dict[str, list[int]]:
    return {
        "fc.0.weight": [width, width],
        "fc.0.bias": [width],
        "fc.2.weight": [projected, width],
        "fc.2.bias": [projected],
    }


def pretrained(*representations: str) -> dict[str, Tensor]:
    """A small checkpoint of one representation or of a pair, every tensor different."""
    letters = (("q", "k"), ("r", "l"))
    state = {}
    for number, (name, pair) in enumerate(zip(representations, letters, strict=False)):
        for letter in pair:
            for key, shape in (SHAPES[name]() | head_shapes(WIDTHS[name])).items():
                whole = f"encoder_{letter}.{key}"
                state[whole] = golden_weight(whole, shape)
        queue, pointer = "queue", "queue_ptr"
        if len(representations) > 1:
            queue, pointer = f"Queue_S{number + 1}", f"queue_ptr_S{number + 1}"
        columns = golden_weight(queue, [PROJECTED, QUEUE])
        state[queue] = columns / columns.norm(dim=0)
        state[pointer] = torch.tensor([4 * number + 4])
    return state


def elements(state: dict[str, Tensor]) -> int:
    return sum(math.prod(value.shape) for value in state.values())
