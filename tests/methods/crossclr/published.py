"""What the parity tests of the family share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from skelray.methods.crossclr.contrast import StreamContrast
from skelray.platform.nn.stgcn import published_key


def assert_close(ours: Tensor, theirs: Tensor, tolerance: float = 1e-5) -> None:
    """Within `tolerance` of the largest expected value."""
    difference = (ours.double() - theirs.double()).abs().max()
    assert difference <= tolerance * theirs.abs().max(), float(difference)


def save(folder: Path, state: dict[str, Tensor]) -> list[Path]:
    """A checkpoint as the original writes it."""
    file = folder / "epoch300_model.pt"
    torch.save(state, file, _use_new_zipfile_serialization=False)
    return [file]


def as_published(method: StreamContrast) -> dict[str, Tensor]:
    """The method's weights as LinguoLi/CrosSCLR names them, from the specification's list of keys.

    With several streams their projectors must share the tail.
    """
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    names = ["A", *(f"data_bn.{key}" for key in norm)]
    for number in range(10):
        block = f"st_gcn_networks.{number}"
        for part in ("gcn.conv", "tcn.2", "residual.0"):
            names += [f"{block}.{part}.{key}" for key in norm[:2]]
        for part in ("tcn.0", "tcn.3", "residual.1"):
            names += [f"{block}.{part}.{key}" for key in norm]
        names.append(f"edge_importance.{number}")
    state = {}
    for end, (_, stream) in zip(("", "_motion", "_bone"), method.each(), strict=False):
        state[f"queue{end}"] = stream.queue.features.T.contiguous()
        state[f"queue_ptr{end}"] = stream.queue.pointer.reshape(1)
        parts = {
            "q": (stream.encoder, stream.projector),
            "k": (stream.key_encoder, stream.key_projector),
        }
        for letter, (encoder, projector) in parts.items():
            ours = encoder.state_dict()
            place = f"encoder_{letter}{end}"
            for name in names:
                if published_key(name) in ours:
                    state[f"{place}.{name}"] = ours[published_key(name)]
            state |= {f"{place}.fc.{key}": value for key, value in projector.state_dict().items()}
    return state


def linear_as_published(
    method: StreamContrast, heads: Mapping[str, torch.nn.Module]
) -> dict[str, Tensor]:
    """A checkpoint of linear evaluation as the original writes it: query encoders with `fc`."""
    state = {
        key: value
        for key, value in as_published(method).items()
        if key.startswith("encoder_q") and ".fc." not in key
    }
    for end, name in zip(("", "_motion", "_bone"), method.outputs, strict=False):
        ours = heads[name].state_dict()
        state |= {f"encoder_q{end}.fc.{key}": value for key, value in ours.items()}
    return state
