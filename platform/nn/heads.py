"""Small heads on top of encoders."""

from __future__ import annotations

from itertools import pairwise

from torch import nn


def projector(*widths: int) -> nn.Sequential:
    """Linear layers between the given widths, ReLU between them: `projector(256, 256, 128)`."""
    if len(widths) < 2:
        raise ValueError(f"a projector needs at least an input and an output width, got {widths}")
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
