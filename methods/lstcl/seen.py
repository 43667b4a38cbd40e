"""What the networks hand to the losses, completed or as coded.

Shapes: B bodies, N samples, V joints, T frames of a clip, F frames predicted, S segments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class FromVideo:
    """Clips, and what is drawn for their video losses."""

    clips: Tensor  # (B, V, T, 3)
    augmented: Mapping[str, Tensor]  # inter, intra -> the first frame, augmented (B, V, 1, 3)
    orders: Tensor  # (B, 2, S) int64: of the segments' first and last frames
    order_label: Tensor  # (B,) int64 in 0..3
    present: Tensor  # (B,) float: 1 where the body is there


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """Predictions of the first person, and what they are compared with."""

    pred: Tensor  # (N, 3, F, V)
    key: Tensor  # (N, 3, F, V), no gradient
    target: Tensor  # (N, 3, F, V)
    last: Tensor  # (N, 3, V): the pose before
    feature: Tensor  # (N, D): the encoder's, of the first person
    label: Tensor | None = None  # (N,) int64
    neighbours: int = 0  # how many samples similar to each are positives


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What losses give."""

    terms: Mapping[str, Tensor]
    figures: Mapping[str, Tensor] = field(default_factory=dict)
    carry: Mapping[str, Tensor] = field(default_factory=dict)  # for `remember`
