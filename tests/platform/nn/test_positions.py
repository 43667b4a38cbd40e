import math

import pytest

from skelray.platform.nn.positions import sinusoids


def test_sines_and_cosines_take_turns():
    table = sinusoids(200, 6)
    assert table.shape == (200, 6)
    for t in (0, 1, 199):
        for i in range(3):
            angle = t / 10000 ** (2 * i / 6)
            expected = pytest.approx([math.sin(angle), math.cos(angle)], abs=2e-5)
            assert table[t, 2 * i : 2 * i + 2].tolist() == expected
    with pytest.raises(ValueError, match="a width of 5 is odd"):
        sinusoids(3, 5)
