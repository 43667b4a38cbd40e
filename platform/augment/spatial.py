"""Augmentations of the coordinates, batched. Source: LinguoLi/CrosSCLR, feeder/tools.py."""

from __future__ import annotations

from torch import Tensor


def shear(x: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Adds to each coordinate multiples of the other two, alike at all frames, joints and persons.

    Every point becomes R x with R = [[1, a0, b0], [a1, 1, b1], [a2, b2, 1]]. Written as sums, which
    neither autocast nor TF32 rounds.

    Args:
        x: (N, 3, T, V, M).
        a: (N, 3) factor of the first other coordinate: y, x, x.
        b: (N, 3) factor of the second other coordinate: z, z, y.
    """
    assert x.shape[1] == 3, x.shape
    shape = (len(x), 3, 1, 1, 1)
    return x + a.view(shape) * x[:, [1, 0, 0]] + b.view(shape) * x[:, [2, 2, 1]]
