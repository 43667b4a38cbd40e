"""Fixed positions of tokens."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def sinusoids(length: int, dim: int) -> Tensor:
    """Sines and cosines (length, dim) by turns, of wavelengths from 2π to 10000 · 2π; float32.

    ValueError where `dim` is odd. Source: Vaswani et al., "Attention is all you need", NIPS 2017,
    section 3.5.
    """
    if dim % 2:
        raise ValueError(f"sines and cosines take turns: a width of {dim} is odd")
    frequency = torch.exp(torch.arange(0, dim, 2) * (-math.log(10000.0) / dim))
    angle = torch.arange(length)[:, None] * frequency
    return torch.stack([angle.sin(), angle.cos()], dim=2).flatten(1)
