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


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_statistics_are_summed_with_care(layout):
    """torch's own kernel for channels_last is off by 1e-3 here."""
    torch.manual_seed(0)
    x = torch.randn(256, 16, 50, 25).relu().contiguous(memory_format=layout).requires_grad_()
    exact = x.detach().double().requires_grad_()
    gradient = torch.randn(256, 16, 50, 25)
    ours, theirs = BatchNorm(16, momentum=1.0), nn.BatchNorm2d(16, momentum=1.0).double()
    run(ours, x, gradient)
    run(theirs, exact, gradient.double())
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(
            getattr(ours, name).double(), getattr(theirs, name), rtol=1e-6, atol=0
        )
    torch.testing.assert_close(x.grad.double(), exact.grad, rtol=0, atol=1e-5)
    for name in ("weight", "bias"):
        found, expected = (getattr(norm, name).grad.double() for norm in (ours, theirs))
        assert (found - expected).abs().max() < 1e-5 * x[:, 0].numel() ** 0.5


def test_rows_of_zeros_become_one():
    rows = torch.randn(6, 2, 3)
    rows[[1, 4, 5]] = 0
    distinct = distinct_rows(rows)
    assert torch.equal(distinct.rows[:3], rows[[0, 2, 3]]) and not distinct.rows[3].any()
    assert distinct.repeats.tolist() == [1, 1, 1, 3]
    assert torch.equal(distinct.spread(distinct.rows), rows)
    assert torch.equal(distinct_rows(torch.zeros(4, 2)).spread(torch.ones(1, 3)), torch.ones(4, 3))


def test_the_gradient_of_equal_rows_is_summed_in_a_fixed_order():
    """An index that occurs several times sums as its threads happen to come."""
    rows = torch.randn(512, 256)
    rows[200:] = 0
    distinct = distinct_rows(rows)
    gradient, found = torch.randn(512, 256), []
    for _ in range(20):
        features = torch.randn(201, 256).requires_grad_()
        distinct.spread(features).backward(gradient)
        found.append(features.grad)
    assert all(torch.equal(found[0], other) for other in found)
    torch.testing.assert_close(found[0][-1], gradient[200:].sum(0))
    assert torch.equal(found[0][:-1], gradient[:200])


def test_rows_stay_as_they_are():
    rows = torch.randn(3, 2)
    rows[1, 0] = float("nan")  # not nothing
    for zero in (0, 1):  # less than two
        rows[:zero] = 0
        assert distinct_rows(rows).rows is rows
    wanted = torch.zeros(3, 2).requires_grad_()  # a gradient for each
    assert distinct_rows(wanted).rows is wanted
    with torch.no_grad():
        assert len(distinct_rows(wanted).rows) == 1
