"""HCN: convolutions over a picture of frames and joints, then over one of frames and channels.

Source: Li et al., "Co-occurrence Feature Learning from Skeleton Data for Action Recognition and
Detection with Hierarchical Aggregation", IJCAI 2018; fmthoker/skeleton-contrast, moco/HCN.py.
Shapes: N samples, M persons, R = N M rows, C coordinates or channels, T frames, V joints.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

POOLED = 16  # frames, and channels, that four poolings make one of


class HCN(nn.Module):
    """Encodes a skeleton sequence: (N, C, T, V, M) -> features (N, feature_dim).

    All persons pass the same network; features are the elementwise maximum over them, in which an
    absent one (all zeros) takes part, as published.

    Args:
        joints: V.
        in_channels: coordinates per joint.
        frames: T, at least 16.
        channels: width of the first convolutions, at least 16; the last one has four times as many.
        dropout: probability with which a channel is left out, after three convolutions.

    Raises:
        ValueError: where there are too few frames or channels for the poolings.
    """

    def __init__(
        self,
        *,
        joints: int,
        in_channels: int = 3,
        frames: int = 64,
        channels: int = 64,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if min(frames, channels) < POOLED:
            raise ValueError(f"{frames} frames and {channels} channels: HCN needs {POOLED} of each")
        self.feature_dim = 4 * channels * (frames // POOLED) * (channels // POOLED)
        self.position, self.motion = (
            _CoOccurrence(joints, in_channels, channels, dropout) for _ in range(2)
        )
        self.merged = nn.Sequential(
            nn.Conv2d(2 * channels, 2 * channels, 3, padding=1),
            nn.ReLU(),
            nn.Dropout2d(dropout),
            nn.MaxPool2d(2),
            nn.Conv2d(2 * channels, 4 * channels, 3, padding=1),
            nn.ReLU(),
            nn.Dropout2d(dropout),
            nn.MaxPool2d(2),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, feature_dim) of sequences (N, C, T, V, M)."""
        n, persons = len(x), x.shape[4]
        rows = x.permute(0, 4, 1, 2, 3).flatten(0, 1)
        both = [self.position(rows), self.motion(motion(rows))]
        y = self.merged(torch.cat(both, dim=1))
        return y.view(n, persons, *y.shape[1:]).amax(dim=1).flatten(1)


class _CoOccurrence(nn.Sequential):
    """(R, C, T, V) -> (R, channels, T / 4, channels / 4): joints become channels on the way."""

    def __init__(self, joints: int, in_channels: int, channels: int, dropout: float) -> None:
        super().__init__(
            nn.Conv2d(in_channels, channels, 1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, (3, 1), padding=(1, 0)),
            _JointsFirst(),
            nn.Conv2d(joints, channels // 2, 3, padding=1),
            nn.MaxPool2d(2),
            nn.Conv2d(channels // 2, channels, 3, padding=1),
            nn.Dropout2d(dropout),
            nn.MaxPool2d(2),
        )


class _JointsFirst(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        """(R, C, T, V) -> (R, V, T, C)."""
        return x.transpose(1, 3)


def motion(x: Tensor) -> Tensor:
    """Differences of successive frames of (R, C, T, V), resized from T - 1 to T frames."""
    rows, channels, frames, joints = x.shape
    steps = x.diff(dim=2).transpose(2, 3).reshape(rows, channels * joints, frames - 1)
    resized = functional.interpolate(steps, size=frames, mode="linear", align_corners=False)
    return resized.view(rows, channels, joints, frames).transpose(2, 3)
