"""Batches as flat buffers."""

from __future__ import annotations

import pytest
import torch

from skelray.platform.method import Ragged


def ragged(sizes: list[int]) -> Ragged:
    total = sum(sizes)
    return Ragged(
        frames=torch.arange(total * 2 * 3 * 2, dtype=torch.float32).view(total, 2, 3, 2),
        offsets=torch.tensor([0, *torch.tensor(sizes).cumsum(0)]),
        present=torch.ones(total, 2, dtype=torch.bool),
        length=torch.tensor(sizes),
    )


def test_dense_puts_every_value_where_it_belongs() -> None:
    data = ragged([4, 4, 4])
    dense = data.dense()
    assert dense.shape == (3, 2, 4, 3, 2)  # N, C, T, V, M
    for n in range(3):
        for t in range(4):
            for m in range(2):
                for v in range(3):
                    assert torch.equal(dense[n, :, t, v, m], data.frames[n * 4 + t, m, v])


def test_unequal_lengths_do_not_stack() -> None:
    with pytest.raises(ValueError, match="3 to 5 frames"):
        ragged([3, 5]).dense()
