"""Small heads on top of encoders."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn

from skelray.platform.method import Classifier, Views


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


class EncoderClassifier(Classifier):
    """A copy of an encoder with a new linear head: `eval_views` of an output -> logits."""

    def __init__(self, encoder: nn.Module, width: int, classes: int, output: str) -> None:
        """`width` is that of the encoder's features (N, width)."""
        super().__init__()
        self.output = output
        self.encoder = copy.deepcopy(encoder)
        self.head = nn.Linear(width, classes)

    def forward(self, views: Views) -> Tensor:
        """Logits (N, classes) of the output's view."""
        logits: Tensor = self.head(self.encoder(views[self.output]))
        return logits


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
