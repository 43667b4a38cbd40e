"""VICReg's terms against a slow computation, and on two gloo processes against one, in float64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from skelray.platform import distributed
from skelray.platform.objectives.variance_covariance import variance_covariance
from tests.toys import on_ranks

WORLD = 2


def projections(rows: int, width: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Three sets whose deviations lie about 1, one of them equal rows, correlated."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(3, rows, width, generator=generator, dtype=torch.float64)
    z = z @ (torch.eye(width, dtype=torch.float64) + 0.3) + 5
    z[1] = z[1, 0]
    return z.to(dtype)


def slow(z: Tensor) -> tuple[list[float], list[float]]:
    """Entry by entry of the covariance matrices (D, D)."""
    variance, covariance = [], []
    for one in z.double().numpy():
        matrix = np.cov(one, rowvar=False)  # divides by B - 1
        width = len(matrix)
        below = [max(0.0, 1 - (matrix[d, d] + 1e-4) ** 0.5) for d in range(width)]
        apart = [matrix[d, e] ** 2 for d in range(width) for e in range(width) if d != e]
        variance.append(sum(below) / width)
        covariance.append(sum(apart) / width)
    return variance, covariance


@pytest.mark.parametrize("shape", [(6, 20), (20, 6), (2, 3)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_the_terms_equal_the_slow_ones(
    shape: tuple[int, int], dtype: torch.dtype, tolerance: float
) -> None:
    z = projections(*shape, dtype)
    ours = variance_covariance(z)
    variance, covariance = slow(z)
    scale = max(covariance)
    assert ours.variance.tolist() == pytest.approx(variance, rel=tolerance, abs=tolerance)
    assert ours.covariance.tolist() == pytest.approx(
        covariance, rel=tolerance, abs=tolerance * scale
    )


def through_the_matrix(z: Tensor) -> Tensor:
    """The weighted sum of the terms by the covariance matrix, differentiable."""
    centred = z - z.mean(dim=1, keepdim=True)
    matrix = centred.mT @ centred / (z.shape[1] - 1)
    own = matrix.diagonal(dim1=1, dim2=2)
    below = (1 - (own + 1e-4).sqrt()).relu().mean(dim=1)
    apart = (matrix - torch.diag_embed(own)).square().sum(dim=(1, 2)) / z.shape[2]
    return 5 * below + apart


def loss_of(z: Tensor) -> Tensor:
    variance, covariance = variance_covariance(z)
    return 5 * variance + covariance


@pytest.mark.parametrize("shape", [(6, 20), (20, 6)])
def test_gradients_are_those_of_the_matrix(shape: tuple[int, int]) -> None:
    weight = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    ours, theirs = (projections(*shape).requires_grad_() for _ in range(2))
    (loss_of(ours) @ weight).backward()
    (through_the_matrix(theirs) @ weight).backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_multiplies_alone_in_it(dtype: torch.dtype) -> None:
    """Statistics of rounded projections are exact; their products are rounded once more."""
    z = projections(64, 32).to(dtype)
    ours, exact = variance_covariance(z), variance_covariance(z.double())
    assert ours.variance.dtype == ours.covariance.dtype == torch.float32
    torch.testing.assert_close(ours.variance.double(), exact.variance, rtol=1e-4, atol=1e-5)
    assert (ours.covariance - exact.covariance).abs().max() < 1e-2 * exact.covariance.max()


def test_autocast_changes_nothing() -> None:
    z = projections(8, 16, torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = variance_covariance(z)
    assert torch.equal(inside.covariance, variance_covariance(z).covariance)


def on_this_rank(folder: Path) -> None:
    """Values, and the gradient that DDP would average."""
    whole = projections(10, 6)
    mine = whole.chunk(WORLD, dim=1)[distributed.rank()].clone().requires_grad_()
    with FlopCounterMode(display=False) as counted:
        loss = loss_of(mine)
        loss.sum().backward()
    flops = torch.tensor(counted.get_total_flops())
    found = {"loss": loss.detach(), "gradient": mine.grad, "flops": flops}
    torch.save(found, folder / f"{distributed.rank()}.pt")


def test_two_ranks_equal_one(tmp_path: Path) -> None:
    on_ranks(WORLD, on_this_rank, tmp_path)
    ranks = [torch.load(tmp_path / f"{rank}.pt") for rank in range(WORLD)]
    z = projections(10, 6).requires_grad_()
    loss = loss_of(z)
    loss.sum().backward()
    for found in ranks:
        torch.testing.assert_close(found["loss"], loss.detach(), rtol=1e-12, atol=1e-12)
        # a rank's products are of its own rows alone, forward and backward, three sets
        assert found["flops"] == 2 * 3 * (2 * (10 // WORLD) * 10 * 6)
    # DDP's mean over ranks divides each rank's by their number
    gradient = torch.cat([found["gradient"] for found in ranks], dim=1) / WORLD
    torch.testing.assert_close(gradient, z.grad, rtol=1e-12, atol=1e-12)
