import numpy as np
import pytest
import torch

from skelray.platform.augment.spatial import shear


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
