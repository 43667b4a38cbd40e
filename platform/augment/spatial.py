"""Augmentations of the coordinates, batched.

Sources: LinguoLi/CrosSCLR, feeder/tools.py; fmthoker/skeleton-contrast, feeder/augmentations.py,
which HuiGuanLab/UmURL shares.
"""

from __future__ import annotations

import torch
from torch import Tensor

from skelray.platform.method.draws import Draws


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


def transform_joints(x: Tensor, joints: Tensor, matrix: Tensor, out: Tensor) -> Tensor:
    """Some joints' points p become matrix^T p, alike at all frames and persons; returns `out`.

    Written as sums, which neither autocast nor TF32 rounds; fast where joints lie side by side in
    memory, as `crop_resize` leaves them.

    Args:
        x: (N, C, T, V, M).
        joints: (N, V) bool, those that are changed.
        matrix: (N, C, C); zeros put the joints at the origin.
        out: of the shape of x, other memory; it is filled.
    """
    n, coordinates, _, count, persons = x.shape
    still = torch.eye(coordinates, dtype=x.dtype, device=x.device)[..., None, None]
    chosen = joints.view(n, 1, 1, 1, count).expand(-1, -1, -1, persons, -1)
    each = torch.where(chosen, matrix[..., None, None], still)  # (N, C before, C after, M, V)
    each = each.mT[:, :, :, None]
    torch.mul(x[:, :1], each[:, 0], out=out)
    for before in range(1, coordinates):
        out.addcmul_(x[:, before : before + 1], each[:, before])
    return out


def shear_or_corrupt(draws: Draws, tag: str, x: Tensor, *, corrupted: int = 15) -> Tensor:
    """Shears half of the samples, puts some joints of a quarter at the origin, mixes the rest's.

    A shear is [[1, a, b], [c, 1, d], [e, f, 1]] with entries of (-1, 1), for all joints; the rest
    have `corrupted` of their joints multiplied by a matrix of nine such entries.

    Args:
        draws: of `TAG/shear` (N, 6) in row-major order, `TAG/branch` and `TAG/zero` (N,), below a
            half a shear and zeros, `TAG/joints` (N, V) a permutation whose first are corrupted,
            `TAG/matrix` (N, 3, 3); for K views with K behind N.
        tag: of this view, or of these.
        x: (N, 3, T, V, M), or (K, N, 3, T, V, M), K views of each sample.
        corrupted: how many joints.

    Source: fmthoker/skeleton-contrast, feeder/augmentations.py (pose_augmentation,
    joint_courruption).
    """
    views, n, joints = x.shape[:-5], x.shape[-5], x.shape[-2]

    def of_each(drawn: Tensor) -> Tensor:
        """(N, *views, …) to (views · N, …)."""
        return drawn.movedim(0, len(views)).flatten(0, len(views))

    sheared = of_each(draws.uniform(f"{tag}/branch", *views) < 0.5)
    zero = of_each(draws.uniform(f"{tag}/zero", *views) < 0.5)
    matrix = of_each(draws.uniform(f"{tag}/matrix", *views, 3, 3, low=-1.0, high=1.0))
    matrix = matrix.masked_fill(zero[:, None, None], 0.0)
    rates = of_each(draws.uniform(f"{tag}/shear", *views, 6, low=-1.0, high=1.0))
    shears = torch.ones(len(rates), 9, device=x.device)
    shears[:, [1, 2, 3, 5, 6, 7]] = rates.to(shears.dtype)
    matrix = torch.where(sheared[:, None, None], shears.view(-1, 3, 3).mT, matrix)
    first = of_each(draws.permutation(f"{tag}/joints", *views, joints))[:, :corrupted]
    chosen = sheared[:, None].repeat(1, joints).scatter_(1, first, True)
    every = x.flatten(0, len(views))
    moved = torch.empty_like(every)
    # view by view: what fewer samples take stays in a processor's cache
    given = (each.split(n) for each in (every, chosen, matrix.to(x.dtype), moved))
    for part in zip(*given, strict=True):
        transform_joints(*part)
    return moved.view_as(x)
