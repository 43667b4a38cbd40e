"""A slow random movement of the whole scene.

Source: yysijie/st-gcn, feeder/tools.py (random_move), which limaosen0/AS-GCN and AnshulRustogi/
Long-Term-Spatio-Temporal-Framework share.
"""

from __future__ import annotations

import torch
from torch import Tensor

from skelray.platform.method.draws import Draws

ANGLES = (-10.0, -5.0, 0.0, 5.0, 10.0)  # degrees
SCALES = (0.9, 1.0, 1.1)
SHIFTS = (-0.2, -0.1, 0.0, 0.1, 0.2)  # metres


def random_move(
    draws: Draws, tag: str, x: Tensor, time: Tensor, *, frames: int, mask_empty: bool
) -> Tensor:
    """Turns, scales and shifts x and y of all joints, by amounts that change along a straight line.

    Angle, scale and both shifts of each sample are drawn for its first and its last frame. Draws
    `TAG/angle`, `TAG/scale`, `TAG/shift_x` and `TAG/shift_y` (N, 2), places in the lists above.

    Args:
        draws: of the batch.
        tag: of this use; parts of a sequence that are read by themselves share it.
        x: (N, 3, T, V, M).
        time: (N, T) int64, the place of each frame of `x` in the whole sequence.
        frames: of the whole sequence.
        mask_empty: a person stays as it is in frames where it is all zeros.
    """
    passed = time.to(x.dtype) / max(1, frames - 1)

    def along(name: str, choices: tuple[float, ...]) -> Tensor:
        place = draws.integers(f"{tag}/{name}", 2, high=len(choices))
        ends = torch.tensor(choices, device=x.device, dtype=x.dtype)[place]
        return torch.lerp(ends[:, :1], ends[:, 1:], passed)[:, :, None, None]  # (N, T, 1, 1)

    angle, scale = torch.deg2rad(along("angle", ANGLES)), along("scale", SCALES)
    cos, sin = scale * angle.cos(), scale * angle.sin()
    right = cos * x[:, 0] - sin * x[:, 1] + along("shift_x", SHIFTS)
    up = sin * x[:, 0] + cos * x[:, 1] + along("shift_y", SHIFTS)
    moved = torch.stack([right, up, x[:, 2]], dim=1)
    if not mask_empty:
        return moved
    there = (x != 0).any(dim=3, keepdim=True).any(dim=1, keepdim=True)
    return torch.where(there, moved, x)
