"""Counter-based draws: values belong to samples, not to batches, and are well distributed."""

from __future__ import annotations

import numpy as np
import torch
from scipy import stats

from skelray.platform.method import Draws, key_of

KEYS = torch.tensor([key_of(f"sample{i}") for i in range(2000)])


def splitmix(key: int, seed: int, epoch: int, tag: str, position: int) -> int:
    """The same generator in Python's integers."""
    mask = 2**64 - 1

    def mix(x: int) -> int:
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
        return x ^ (x >> 31)

    start = mix((key ^ key_of(seed, epoch, tag)) & mask)
    return mix((start + position * 0x9E3779B97F4A7C15) & mask)


def test_values_equal_the_generator_in_exact_integers() -> None:
    drawn = Draws(7, 3, KEYS[:4]).uniform("shear", 2, 3)
    expected = [
        [(splitmix(int(key), 7, 3, "shear", p) >> 40) * 2.0**-24 for p in range(1, 7)]
        for key in KEYS[:4]
    ]
    assert torch.equal(drawn.flatten(1), torch.tensor(expected))


def test_a_value_belongs_to_its_sample_whatever_the_batch() -> None:
    whole = Draws(0, 5, KEYS)
    part = Draws(0, 5, KEYS[[11, 3]])
    for name in ("uniform", "normal", "permutation"):
        assert torch.equal(getattr(whole, name)("t", 4)[[11, 3]], getattr(part, name)("t", 4))
    assert torch.equal(whole.integers("i", high=9)[[11, 3]], part.integers("i", high=9))


def test_seed_epoch_and_tag_change_everything() -> None:
    base = Draws(0, 0, KEYS).uniform("a")
    for other in (
        Draws(1, 0, KEYS).uniform("a"),
        Draws(0, 1, KEYS).uniform("a"),
        Draws(0, 0, KEYS).uniform("b"),
    ):
        assert abs(float(torch.corrcoef(torch.stack([base, other]))[0, 1])) < 0.08
    assert torch.equal(base, Draws(0, 0, KEYS, step=9).uniform("a"))


def test_distributions() -> None:
    draws = Draws(3, 1, KEYS)
    uniform = draws.uniform("u", 10, low=-2.0, high=2.0).flatten().numpy()
    assert stats.kstest(uniform, stats.uniform(-2, 4).cdf).pvalue > 1e-3
    assert stats.kstest(draws.normal("n", 10).flatten().numpy(), "norm").pvalue > 1e-3
    counts = np.bincount(draws.integers("i", 10, low=0, high=17).flatten().numpy(), minlength=17)
    assert len(counts) == 17
    assert stats.chisquare(counts).pvalue > 1e-3
    orders = draws.permutation("p", 3)
    assert torch.equal(orders.sort(dim=1).values, torch.arange(3).expand(len(KEYS), 3))
    seen = np.unique(orders.numpy(), axis=0, return_counts=True)[1]
    assert stats.chisquare(seen).pvalue > 1e-3


def test_shared_is_one_value_for_every_batch_of_a_step() -> None:
    first = Draws(0, 0, KEYS[:5], step=4).shared("mask", 6)
    assert first.shape == (6,)
    assert torch.equal(first, Draws(0, 0, KEYS[7:9], step=4).shared("mask", 6))
    assert not torch.equal(first, Draws(0, 0, KEYS[:5], step=5).shared("mask", 6))


def test_replayed_values_are_given_back() -> None:
    value = torch.full((2, 3), 0.25)
    draws = Draws(0, 0, KEYS[:2]).replay({"shear": value})
    assert draws.uniform("shear", 3) is value
    assert draws.uniform("other", 3) is not value
