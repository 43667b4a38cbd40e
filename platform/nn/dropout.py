"""Dropout whose draws are cheap on CPUs too."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function


class Dropout(nn.Dropout):
    """torch's dropout; on CPUs, where that draws a number for each element, with 4 or 8 in one.

    There the probability is rounded to a multiple of 2⁻¹⁶, and kept elements are scaled by what it
    then is, so that the expectation stays. Compiled graphs draw as torch's does there.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Zeroes elements in training and scales the others; any shape."""
        off = not self.training or self.p in (0.0, 1.0)
        if off or input.device.type != "cpu" or torch.compiler.is_compiling():
            return super().forward(input)
        dropped: Tensor = _Drop.apply(input, self.p)
        return dropped


class _Drop(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, probability: float) -> Tensor:
        bits, kind = (8, torch.int8) if (256 * probability).is_integer() else (16, torch.int16)
        threshold = min(round(probability * 2**bits), 2**bits - 1)
        words = torch.empty(-(-x.numel() * bits // 64), dtype=torch.int64).random_(-(2**63), None)
        kept = words.view(kind)[: x.numel()] >= threshold - 2 ** (bits - 1)
        kept = kept.as_strided(x.shape, torch.empty_like(x).stride())  # in the order of x in memory
        ctx.save_for_backward(kept)
        ctx.scale = 2**bits / (2**bits - threshold)
        return _Drop.masked(x, kept, ctx.scale)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (kept,) = ctx.saved_tensors
        return _Drop.masked(gradient, kept, ctx.scale), None

    @staticmethod
    def masked(x: Tensor, kept: Tensor, scale: float) -> Tensor:
        # a product with a converted mask: torch.where and mixed types are far slower
        return x * kept.to(x.dtype).mul_(scale)
