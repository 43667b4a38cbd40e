"""Small heads on top of encoders."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn


def projector(*widths: int, norm: bool = False) -> nn.Sequential:
    """Linear layers between the given widths, ReLU between them: `projector(256, 256, 128)`.

    With `norm` a BatchNorm stands in front of every ReLU.
    """
    if len(widths) < 2:
        raise ValueError(f"a projector needs at least an input and an output width, got {widths}")
    layers: list[nn.Module] = []
    for before, after in pairwise(widths[:-1]):
        layers.append(nn.Linear(before, after))
        layers.extend([nn.BatchNorm1d(after)] if norm else [])
        layers.append(nn.ReLU())
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))


class MeanLogits(nn.Module):
    """Classifiers of several outputs as one: the mean of their logits.

    Every classifier gets the views of all outputs and reads its own.
    """

    def __init__(self, classifiers: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.classifiers = nn.ModuleDict(classifiers)

    def forward(self, views: Mapping[str, Tensor]) -> Tensor:
        """Logits (N, classes)."""
        return torch.stack([one(views) for one in self.classifiers.values()]).mean(dim=0)
