"""Labelled features of one output: what every probe on frozen features reads."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """n recordings with a known label."""

    features: Tensor  # (n, D) float32; those of several outputs side by side
    label: Tensor  # (n,) int64, 0-based
    subject: Tensor  # (n,) int64, -1 where unknown
    widths: tuple[int, ...] = ()  # of the outputs; empty: one

    def __len__(self) -> int:
        return len(self.label)

    def where(self, mask: Tensor) -> Labelled:
        """The recordings for which `mask` (n,) is True."""
        return replace(
            self,
            features=self.features[mask],
            label=self.label[mask],
            subject=self.subject[mask],
        )


def top_k(logits: Tensor, label: Tensor, k: int) -> float:
    """Percent of rows of `logits` (n, classes) whose label (n,) is among the k largest."""
    best = logits.topk(min(k, logits.shape[1]), dim=1).indices
    return 100.0 * float((best == label[:, None]).any(dim=1).double().mean())


def mean_class(predicted: Tensor, label: Tensor) -> float:
    """Percent: the share of each class of `label` (n,) that is predicted (n,), its mean over them.

    Classes without a recording do not count.
    """
    recordings = torch.bincount(label)
    right = torch.bincount(label[predicted == label], minlength=len(recordings))
    there = recordings > 0
    return 100.0 * float((right[there].double() / recordings[there]).mean())


def accuracies(logits: Tensor, label: Tensor) -> dict[str, float]:
    """What every classifier's `logits` (n, classes) are judged by, in percent, by figures' names.

    `mean_class` is of the same predictions as `top1`.
    """
    predicted = logits.topk(1, dim=1).indices[:, 0]
    figures = {f"top{k}": top_k(logits, label, k) for k in (1, 5)}
    return {**figures, "mean_class": mean_class(predicted, label)}


@dataclass(frozen=True, kw_only=True)
class ClassifierResult:
    """A classifier on the test part, accuracies in percent; see `accuracies`."""

    top1: float
    top5: float
    mean_class: float
    scores: Tensor  # (n_test, classes)

    def figures(self) -> dict[str, float]:
        """By name."""
        return {"top1": self.top1, "top5": self.top5, "mean_class": self.mean_class}


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation (D,) of features (n, D); a constant feature's deviation counts as 1."""
    deviation, mean = torch.std_mean(features, dim=0, correction=0)
    return mean, torch.where(deviation > 1e-6, deviation, 1.0)
