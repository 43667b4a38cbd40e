"""Teachers that follow an online network by momentum."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

ModuleT = TypeVar("ModuleT", bound=nn.Module)


@torch.no_grad()
def momentum_update(online: nn.Module, teacher: nn.Module, momentum: float) -> None:
    """Sets each parameter of the teacher to momentum * teacher + (1 - momentum) * online.

    Buffers stay: the BatchNorm statistics of a teacher are its own. A parameter that several
    modules share is updated once per call.
    """
    ours, theirs = _paired(online, teacher)
    torch._foreach_mul_(theirs, momentum)
    torch._foreach_add_(theirs, ours, alpha=1 - momentum)


@torch.no_grad()
def copy_parameters(online: nn.Module, teacher: nn.Module) -> None:
    """Copies each parameter of `online` into `teacher`; buffers stay."""
    ours, theirs = _paired(online, teacher)
    torch._foreach_copy_(theirs, ours)


def freeze(module: ModuleT) -> ModuleT:
    """Declares that no parameter of `module` ever gets a gradient; returns the module."""
    module.requires_grad_(False)
    return module


def _paired(online: nn.Module, teacher: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    ours, theirs = dict(online.named_parameters()), dict(teacher.named_parameters())
    assert ours.keys() == theirs.keys(), sorted(ours.keys() ^ theirs.keys())
    for name, parameter in ours.items():
        assert parameter.shape == theirs[name].shape, name  # a smaller one would be broadcast
    return list(ours.values()), [theirs[name] for name in ours]
