"""Modules for a while in eval mode, or with fixed statistics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def in_eval_mode(module: nn.Module) -> Iterator[None]:
    """All modules in eval mode; afterwards each is in the mode it was in."""
    modes = {each: each.training for each in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for each, training in modes.items():
            each.training = training


@contextmanager
def fixed_statistics(module: nn.Module) -> Iterator[None]:
    """The running statistics of every BatchNorm below `module` stay, in training mode too.

    For inputs that are not those of the evaluation.
    """
    momenta = {each: each.momentum for each in module.modules() if isinstance(each, _BatchNorm)}
    for each in momenta:
        each.momentum = 0.0
    try:
        yield
    finally:
        for each, momentum in momenta.items():
            each.momentum = momentum
