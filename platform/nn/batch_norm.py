"""BatchNorm over the batches of all ranks, and over rows that stand for several equal ones.

Shapes: R rows, C channels.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.functional import batch_norm

from skelray.platform.distributed import sum_over_ranks, world_size


class BatchNorm(nn.modules.batchnorm._BatchNorm):
    """BatchNorm with the keys of torch's, on any device; takes (R, C, …) of any number of axes.

    Several ranks normalise with the statistics of the global batch (`torch.nn.SyncBatchNorm`, which
    does that too, refuses CPU tensors).
    """

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected at least 2 dimensions, got {input.dim()}")

    def forward(self, input: Tensor, repeats: Tensor | None = None) -> Tensor:
        """Normalises with the batch's statistics in training, the running ones otherwise.

        Row r counts `repeats[r]` times, (R,) float: as if the batch held it so often. The gradient
        that comes for it must then be the sum of all of theirs.
        """
        if not self.training or (world_size() == 1 and repeats is None and not input.is_cpu):
            return super().forward(input)
        # on CPUs for all: torch's kernel for channels_last sums without care, to four digits
        with torch.autocast(input.device.type, enabled=False):  # sums are products of matrices
            out, mean, variance, count = _Normalise.apply(
                input, self.weight, self.bias, repeats, self.eps
            )
        self._update(mean, variance, count)
        normalised: Tensor = out
        return normalised

    @torch.no_grad()
    def _update(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        weight = self.momentum
        if weight is None:  # cumulative average
            weight = 1.0 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), weight)
        unbiased = variance * (count / (count - 1.0).clamp(min=1.0))
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), weight)


class _Normalise(Function):
    """Statistics from sums over positions, rows and ranks, each in at least float32."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        repeats: Tensor | None,
        eps: float,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        exact = x.to(torch.promote_types(x.dtype, torch.float32))
        rows = exact.new_ones(len(x)) if repeats is None else repeats.to(exact.dtype)
        count = sum_over_ranks(rows.sum() * math.prod(x.shape[2:]))
        mean = sum_over_ranks(rows @ _per_row(exact)) / count
        centred = _scaled(exact, torch.ones_like(mean), -mean)
        variance = sum_over_ranks(rows @ _per_row(centred.square_())) / count
        ctx.save_for_backward(x, weight, None if repeats is None else rows, mean, variance, count)
        ctx.eps = eps
        ctx.mark_non_differentiable(mean, variance, count)
        return batch_norm(x, mean, variance, weight, bias, eps=eps), mean, variance, count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, rows, mean, variance, count = ctx.saved_tensors
        scale = torch.rsqrt(variance + ctx.eps)
        normalised = _scaled(x, scale, -mean * scale)
        for_bias = _per_row(gradient).sum(0)
        for_weight = _per_row(gradient * normalised).sum(0)
        # what every position moves through mean and variance, as often as its row counts
        through = sum_over_ranks(torch.stack([for_weight, for_bias])) / count
        through = _scaled(normalised, *through)
        if rows is not None:
            through *= rows.to(x.dtype).view(-1, *[1] * (x.dim() - 1))
        outer = scale if weight is None else scale * weight
        for_input = _scaled(gradient - through, outer, torch.zeros_like(outer))
        if weight is None:
            return for_input, None, None, None, None
        return for_input, for_weight.to(weight.dtype), for_bias.to(weight.dtype), None, None


def _per_row(x: Tensor) -> Tensor:
    """Sums over all but rows and channels, (R, C), in at least float32."""
    kind = torch.promote_types(x.dtype, torch.float32)
    return x.flatten(2).sum(2, dtype=kind) if x.dim() > 2 else x.to(kind)


def _scaled(x: Tensor, slope: Tensor, offset: Tensor) -> Tensor:
    """X · slope + offset, channel by channel, in one pass."""
    zeros, ones = torch.zeros_like(slope), torch.ones_like(slope)
    return batch_norm(x, zeros, ones, slope, offset, eps=0.0)


def synchronise_batch_norm(module: nn.Module) -> nn.Module:
    """Replaces every BatchNorm below `module` by a synchronised one with the same tensors."""
    for name, child in list(module.named_children()):
        if isinstance(child, nn.modules.batchnorm._BatchNorm) and not isinstance(child, BatchNorm):
            replacement = BatchNorm(
                child.num_features,
                child.eps,
                child.momentum,
                child.affine,
                child.track_running_stats,
            )
            replacement._parameters = child._parameters
            replacement._buffers = child._buffers
            replacement.train(child.training)
            setattr(module, name, replacement)
        else:
            synchronise_batch_norm(child)
    return module
