import numpy as np
import pytest
import torch

from skelray.platform.augment.spatial import shear, shear_or_corrupt
from skelray.platform.method import Draws


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
def test_equals_one_matrix_product_per_point(dtype, tolerance):
    torch.manual_seed(0)
    x = torch.randn(3, 3, 4, 5, 2, dtype=dtype)
    a, b = (torch.rand(3, 3, dtype=dtype) - 0.5 for _ in range(2))
    before, out = x.clone(), shear(x, a, b)
    for i in range(3):
        (a0, a1, a2), (b0, b1, b2) = a[i].tolist(), b[i].tolist()
        matrix = np.array([[1, a0, b0], [a1, 1, b1], [a2, b2, 1]])
        points = x[i].double().numpy()
        for t, v, m in np.ndindex(4, 5, 2):
            np.testing.assert_allclose(
                out[i, :, t, v, m], matrix @ points[:, t, v, m], rtol=0, atol=10 * tolerance
            )
    assert out.dtype == dtype and torch.equal(x, before)


def test_each_factor_moves_its_own_coordinate():
    point = torch.tensor([1.0, 10.0, 100.0]).view(1, 3, 1, 1, 1)
    zero = torch.zeros(1, 3)
    assert torch.equal(shear(point, zero, zero), point)
    by_a = shear(point, torch.tensor([[0.1, 0.2, 0.3]]), zero).flatten().tolist()
    assert by_a == pytest.approx([1 + 0.1 * 10, 10 + 0.2 * 1, 100 + 0.3 * 1])
    by_b = shear(point, zero, torch.tensor([[0.1, 0.2, 0.3]])).flatten().tolist()
    assert by_b == pytest.approx([1 + 0.1 * 100, 10 + 0.2 * 100, 100 + 0.3 * 10])


def test_absent_persons_stay_absent_and_two_dimensions_are_refused():
    assert not shear(torch.zeros(2, 3, 4, 5, 1), torch.rand(2, 3), torch.rand(2, 3)).any()
    with pytest.raises(AssertionError):
        shear(torch.zeros(2, 2, 4, 5, 1), torch.rand(2, 3), torch.rand(2, 3))


def slow_view(x, shear, branch, zero, joints, matrix):
    """One clip (C, T, V, M), joint by joint, as the specification words it."""
    out = x.copy()
    a, b, c, d, e, f = shear
    whole = np.array([[1, a, b], [c, 1, d], [e, f, 1]])
    for t, v, m in np.ndindex(x.shape[1:]):
        if branch < 0.5:
            out[:, t, v, m] = whole @ x[:, t, v, m]
        elif v in joints:
            out[:, t, v, m] = 0 if zero < 0.5 else matrix.T @ x[:, t, v, m]
    return out


def test_each_sample_is_sheared_or_corrupted_in_part():
    torch.manual_seed(1)
    x = torch.randn(12, 3, 2, 25, 2, dtype=torch.float64)
    draws, plain = (Draws(0, 0, torch.arange(12) * 77) for _ in range(2))
    out = shear_or_corrupt(draws, "q", x)
    rates = plain.uniform("q/shear", 6, low=-1.0, high=1.0).double().numpy()
    branch, zero = (plain.uniform(f"q/{name}") for name in ("branch", "zero"))
    order = plain.permutation("q/joints", 25)
    matrix = plain.uniform("q/matrix", 3, 3, low=-1.0, high=1.0).double().numpy()
    kinds = {(float(b) < 0.5, float(z) < 0.5) for b, z in zip(branch, zero, strict=True)}
    assert len(kinds) == 4, "a draw that shows nothing"
    for i in range(12):
        joints = set(order[i, :15].tolist())
        slow = slow_view(x[i].numpy(), rates[i], branch[i], zero[i], joints, matrix[i])
        np.testing.assert_allclose(out[i], slow, rtol=0, atol=1e-12)
    with pytest.raises(RuntimeError):
        shear_or_corrupt(draws, "q", x[:, :2])


def test_several_views_of_each_sample_are_drawn_one_by_one():
    x = torch.randn(3, 12, 3, 2, 25, 2)
    draws, plain = (Draws(0, 0, torch.arange(12) * 77) for _ in range(2))
    out = shear_or_corrupt(draws, "q", x)
    assert out.shape == x.shape
    drawn = {
        "q/shear": plain.uniform("q/shear", 3, 6, low=-1.0, high=1.0),
        "q/matrix": plain.uniform("q/matrix", 3, 3, 3, low=-1.0, high=1.0),
        "q/joints": plain.permutation("q/joints", 3, 25),
        **{name: plain.uniform(name, 3) for name in ("q/branch", "q/zero")},
    }
    for k in range(3):
        one = Draws(0, 0, plain.keys).replay({name: value[:, k] for name, value in drawn.items()})
        assert torch.equal(out[k], shear_or_corrupt(one, "q", x[k]))
    assert not torch.equal(out[0] - x[0], out[1] - x[1])
    other = x.transpose(0, 1).contiguous().transpose(0, 1)  # laid out in memory the other way round
    assert torch.equal(shear_or_corrupt(draws, "q", other), out)
