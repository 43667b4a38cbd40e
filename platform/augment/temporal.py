"""Augmentations along time, batched. Source: LinguoLi/CrosSCLR, feeder/tools.py."""

from __future__ import annotations

import torch
from torch import Tensor


def temporal_crop(x: Tensor, start: Tensor, padding: int) -> Tensor:
    """Pads each clip by mirrored frames at both ends and cuts it back to its length.

    The padded clip reads p-1, …, 0, 0, …, T-1, T-1, …, T-p with p = `padding`: the frame at the
    edge comes twice. `start == padding` keeps the clip as it is.

    Args:
        x: (N, C, T, V, M).
        start: (N,) int64 in 0..2p, first kept frame of the padded clip.
        padding: frames added at each end, at most T.
    """
    frames = x.shape[2]
    assert 0 <= padding <= frames, (padding, frames)
    index = start[:, None] + torch.arange(frames, device=x.device) - padding  # (N, T)
    index = torch.where(index < 0, -1 - index, index)
    index = torch.where(index < frames, index, 2 * frames - 1 - index)
    return torch.take_along_dim(x, index[:, None, :, None, None], dim=2)
