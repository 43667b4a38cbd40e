import pytest
import torch
from torch import nn

from skelray.platform.nn.dropout import Dropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_elements_are_zeroed_independently_and_the_others_scaled(p, dtype):
    torch.manual_seed(0)
    x = torch.full((500, 20, 30), 3.0, dtype=dtype)
    y = Dropout(p)(x)
    kept = y != 0
    assert y.dtype == dtype
    torch.testing.assert_close(y[kept], (x / (1 - p))[kept], rtol=8e-3, atol=0)
    share = kept.double().mean()
    deviation = (p * (1 - p) / x.numel()) ** 0.5
    assert abs(share - (1 - p)) < 5 * deviation
    both = (kept[..., 1:] & kept[..., :-1]).double().mean()  # neighbours: from the same number
    assert abs(both - (1 - p) ** 2) < 10 * deviation


def test_the_gradient_passes_where_the_values_did():
    torch.manual_seed(0)
    x = torch.randn(64, 8, 5, 7).requires_grad_()
    y = Dropout(0.5)(x)
    gradient = torch.randn(64, 8, 5, 7)
    y.backward(gradient)
    assert torch.equal(x.grad, torch.where(y != 0, gradient * 2, 0))


def test_a_seed_gives_the_same_elements_again_and_others_later():
    x, dropout = torch.ones(1000), Dropout(0.3)
    torch.manual_seed(7)
    first, second = dropout(x), dropout(x)
    torch.manual_seed(7)
    assert torch.equal(dropout(x), first) and not torch.equal(first, second)


def test_layouts_in_memory_keep_their_strides():
    x = torch.randn(4, 8, 5, 7).contiguous(memory_format=torch.channels_last).requires_grad_()
    y = Dropout(0.5)(x)
    assert y.stride() == x.stride()
    y.backward(torch.ones(4, 8, 5, 7))  # laid out otherwise
    assert torch.equal(x.grad != 0, y != 0)
    sparse = torch.randn(4, 6)[:, ::2]
    assert Dropout(0.5)(sparse).shape == (4, 3)
    assert Dropout(0.5)(torch.randn(1).expand(4, 3)).shape == (4, 3)


@pytest.mark.parametrize("p", [0.0, 1.0, 1e-9, 1 - 1e-9])
def test_extremes_are_finite_and_evaluation_changes_nothing(p):
    x = torch.randn(100)
    y = Dropout(p)(x)
    assert torch.isfinite(y).all()
    assert torch.equal(Dropout(p).eval()(x), x)
    if p in (0.0, 1.0):
        assert torch.equal(y, nn.Dropout(p)(x))
