"""Modules for a while in another mode."""

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
def statistics_kept(module: nn.Module) -> Iterator[None]:
    """Training mode normalises by the batch, but no BatchNorm takes it into its running statistics.

    For inputs that are not those of the evaluation.
    """
    norms = [each for each in module.modules() if isinstance(each, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
