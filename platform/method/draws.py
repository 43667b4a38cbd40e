"""Counter-based random draws: each value is a function of (run seed, epoch, sample, tag, position).

No generator state exists, so that results depend neither on how samples are grouped into batches,
nor on the number of workers, nor on restarts. The integers are the same on every device: SplitMix64
(Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014) in wrapping
64-bit arithmetic.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB


def key_of(*parts: object) -> int:
    """A 64-bit signed key of the parts' text (BLAKE2b): sample ids, tags, seeds."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(
        hashlib.blake2b(text.encode(), digest_size=8).digest(), "big", signed=True
    )


def _signed(value: int) -> int:
    return (value & (2**64 - 1)) - (2**64 if value & 2**63 else 0)


def _shift_right(x: Tensor, bits: int) -> Tensor:
    """Logical shift: torch's shifts of int64 are arithmetic."""
    return (x >> bits).bitwise_and_(2 ** (64 - bits) - 1)


def _mix(x: Tensor) -> Tensor:
    # in place where x is ours: batches are small, and what counts is the number of allocations
    x = (x ^ _shift_right(x, 30)).mul_(_signed(_MIX_1))
    x.bitwise_xor_(_shift_right(x, 27)).mul_(_signed(_MIX_2))
    return x.bitwise_xor_(_shift_right(x, 31))


class Draws:
    """Random values for one batch; every method returns (N, *shape) on the device of `keys`.

    A tag names one use ("query/shear"); the same tag gives the same values again, so that two uses
    need two tags.
    """

    def __init__(self, seed: int, epoch: int, keys: Tensor, *, step: int = 0) -> None:
        """`keys` (N,) int64 are the samples' keys; `step` only enters `shared`."""
        self.seed = seed
        self.epoch = epoch
        self.step = step
        self.keys = keys
        self._replayed: dict[str, Tensor] = {}

    def replay(self, values: Mapping[str, Tensor]) -> Self:
        """Returns the given values for these tags from now on, as they are (parity tests)."""
        self._replayed.update(values)
        return self

    def uniform(self, tag: str, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Float32 in [low, high), 24 random bits each."""
        if (given := self._given(tag)) is not None:
            return given
        return self._unit(self._bits(tag, shape)) * (high - low) + low

    def normal(self, tag: str, *shape: int) -> Tensor:
        """Float32 standard normal (Box-Muller)."""
        if (given := self._given(tag)) is not None:
            return given
        radius = 1.0 - self._unit(
            self._bits(f"{tag}/radius", shape)
        )  # in (0, 1]: its log is finite
        angle = self._unit(self._bits(f"{tag}/angle", shape))
        return torch.sqrt(-2.0 * torch.log(radius)) * torch.cos(2.0 * math.pi * angle)

    def integers(self, tag: str, *shape: int, low: int = 0, high: int) -> Tensor:
        """Int64 in [low, high); spans up to 2**31."""
        if (given := self._given(tag)) is not None:
            return given
        bits = _shift_right(self._bits(tag, shape), 33)
        return low + ((bits * (high - low)) >> 31)

    def permutation(self, tag: str, *shape: int) -> Tensor:
        """Int64 permutations of the last dimension of `shape`."""
        if (given := self._given(tag)) is not None:
            return given
        return _shift_right(self._bits(tag, shape), 1).argsort(dim=-1, stable=True)

    def shared(self, tag: str, *shape: int) -> Tensor:
        """Uniform float32 in [0, 1) of shape `shape`, equal for a step's samples and all ranks."""
        if (given := self._given(tag)) is not None:
            return given
        one = torch.tensor([key_of("shared", self.step)], device=self.keys.device)
        return self._unit(self._bits(tag, shape, keys=one))[0]

    def _given(self, tag: str) -> Tensor | None:
        return self._replayed.get(tag)

    @staticmethod
    def _unit(bits: Tensor) -> Tensor:
        return _shift_right(bits, 40).to(torch.float32) * 2.0**-24

    def _bits(self, tag: str, shape: tuple[int, ...], keys: Tensor | None = None) -> Tensor:
        keys = self.keys if keys is None else keys
        start = _mix(keys ^ key_of(self.seed, self.epoch, tag))
        position = torch.arange(1, math.prod(shape) + 1, device=keys.device, dtype=torch.int64)
        bits = _mix(start[:, None] + position * _signed(_GOLDEN))
        return bits.view(len(keys), *shape)
