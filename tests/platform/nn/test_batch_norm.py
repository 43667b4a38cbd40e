"""Rows that stand for several equal ones, against torch's BatchNorm on all of them."""

import copy

import pytest
import torch
from torch import nn

from skelray.platform.nn.batch_norm import BatchNorm
from skelray.platform.nn.rows import distinct_rows


def run(norm, x, gradient, *arguments):
    y = norm(x, *arguments)
    (y * gradient).sum().backward()
    return y


@pytest.mark.parametrize("shape", [(4,), (4, 9), (4, 5, 3)])
@pytest.mark.parametrize("affine", [True, False])
def test_repeated_rows_are_as_if_the_batch_held_them(shape, affine):
    torch.manual_seed(0)
    norm = BatchNorm(4, affine=affine).double()
    theirs = [nn.BatchNorm1d, nn.BatchNorm1d, nn.BatchNorm2d][len(shape) - 1](4, affine=affine)
    theirs = theirs.double()
    if affine:
        for parameter in norm.parameters():
            nn.init.normal_(parameter)
        theirs.load_state_dict(copy.deepcopy(norm.state_dict()))
    repeats = torch.tensor([1, 3, 1, 2, 5])
    place = torch.arange(5).repeat_interleave(repeats)
    x = (torch.randn(5, *shape, dtype=torch.float64) * 3 + 8).requires_grad_()
    gradient = torch.randn(len(place), *shape, dtype=torch.float64)
    whole = x.detach()[place].requires_grad_()
    for _ in range(2):  # running statistics move twice
        x.grad = whole.grad = None
        ours = norm(x, repeats)
        (ours[place] * gradient).sum().backward()
        expected = run(theirs, whole, gradient)
    torch.testing.assert_close(ours[place], expected)
    summed = torch.zeros_like(x).index_add_(0, place, whole.grad)
    torch.testing.assert_close(x.grad, summed)
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(norm.state_dict()[name], value)
    for name, parameter in theirs.named_parameters():
        torch.testing.assert_close(norm.get_parameter(name).grad, parameter.grad)
    torch.testing.assert_close(norm.eval()(x, repeats), theirs.eval()(x.detach()))


def test_half_precision_keeps_statistics_in_float32():
    torch.manual_seed(0)
    x = (torch.randn(64, 4, 5, 3) + 100).bfloat16().requires_grad_()
    exact = x.detach().double().requires_grad_()
    norm, gradient = BatchNorm(4), torch.randn(64, 4, 5, 3)
    with torch.autocast("cpu", torch.bfloat16):
        y = run(norm, x, gradient, torch.ones(64))
    expected = run(nn.BatchNorm2d(4).double(), exact, gradient.double())
    assert y.dtype == x.grad.dtype == torch.bfloat16 and norm.running_mean.dtype == torch.float32
    torch.testing.assert_close(y.double(), expected, rtol=0, atol=0.02)
    torch.testing.assert_close(x.grad.double(), exact.grad, rtol=0, atol=0.05)


def test_rows_of_zeros_become_one():
    rows = torch.randn(6, 2, 3)
    rows[[1, 4, 5]] = 0
    distinct, repeats, place = distinct_rows(rows)
    assert torch.equal(distinct[:3], rows[[0, 2, 3]]) and not distinct[3].any()
    assert repeats.tolist() == [1, 1, 1, 3]
    assert torch.equal(distinct[place], rows)


def test_rows_stay_where_less_than_two_are_zero():
    rows = torch.randn(3, 2)
    rows[1, 0] = float("nan")  # not nothing
    for zero in (0, 1):
        rows[:zero] = 0
        assert distinct_rows(rows) == (rows, None, None)
