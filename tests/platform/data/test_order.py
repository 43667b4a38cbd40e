"""Order: a permutation per epoch, the same global batches for every number of workers."""

from __future__ import annotations

import numpy as np
import pytest

from skelray.platform.data.order import batches, epoch_permutation
from skelray.platform.errors import UsageError

ROWS = np.arange(100, 203)


def epoch(number: int, last: str, world: int = 1, seed: int = 0) -> list[np.ndarray]:
    ranks = [
        list(batches(ROWS, seed=seed, epoch=number, batch=10, last=last, rank=rank, world=world))
        for rank in range(world)
    ]
    return [np.concatenate(parts) for parts in zip(*ranks, strict=True)]


def test_drop_gives_each_sample_at_most_once_and_epochs_differ() -> None:
    first, second = epoch(0, "drop"), epoch(1, "drop")
    assert len(first) == 10
    assert len(np.unique(np.concatenate(first))) == 100
    assert not np.array_equal(np.concatenate(first), np.concatenate(second))
    assert np.array_equal(np.concatenate(first), np.concatenate(epoch(0, "drop")))
    assert not np.array_equal(np.concatenate(first), np.concatenate(epoch(0, "drop", seed=1)))


@pytest.mark.parametrize("last", ["drop", "pad"])
def test_two_workers_see_the_global_batches_of_one(last: str) -> None:
    for one, two in zip(epoch(3, last), epoch(3, last, world=2), strict=True):
        assert np.array_equal(one, two[: len(one)])


def test_pad_repeats_at_most_world_minus_one() -> None:
    assert sorted(np.concatenate(epoch(0, "pad"))) == list(ROWS)
    seen = np.concatenate(epoch(0, "pad", world=2))
    assert set(seen) == set(ROWS)
    assert len(seen) == len(ROWS) + 1


def test_every_place_is_equally_likely() -> None:
    places = np.array(
        [np.flatnonzero(epoch_permutation(6, seed=1, epoch=e) == 0)[0] for e in range(3000)]
    )
    assert np.abs(np.bincount(places, minlength=6) / 3000 - 1 / 6).max() < 0.03


def test_what_cannot_be_batched_is_refused() -> None:
    with pytest.raises(UsageError, match="batch of 200 is larger than the 103"):
        list(batches(ROWS, seed=0, epoch=0, batch=200, last="drop"))
    with pytest.raises(UsageError, match="does not divide by 3 workers"):
        list(batches(ROWS, seed=0, epoch=0, batch=10, last="drop", world=3))
