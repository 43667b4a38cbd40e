"""BatchNorm over the batches of all ranks, and over rows that stand for several equal ones.

Shapes: R rows, C channels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
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
        that comes for it must then be the sum of all of them, as indexing gives it.
        """
        if not self.training or (world_size() == 1 and repeats is None):
            return super().forward(input)
        rows = input.new_ones(len(input)) if repeats is None else repeats
        rows = rows.to(torch.promote_types(input.dtype, torch.float32))
        with torch.autocast(input.device.type, enabled=False):  # sums are products of matrices
            out, mean, variance, count = _Normalise.apply(
                input, self.weight, self.bias, rows, self.eps
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
    """Sums over rows and ranks; the passes over all elements are those of torch's own kernels."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, rows: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        exact = x.to(rows.dtype)
        count = sum_over_ranks(rows.sum() * x[0, 0].numel())
        mean = sum_over_ranks(rows @ _per_row(exact)) / count
        centred = _scaled(exact, torch.ones_like(mean), -mean)
        variance = sum_over_ranks(rows @ _per_row(centred.square())) / count
        ctx.save_for_backward(x, weight, rows, mean, variance, count)
        ctx.eps = eps
        ctx.mark_non_differentiable(mean, variance, count)
        return batch_norm(x, mean, variance, weight, bias, eps=eps), mean, variance, count

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, rows, mean, variance, count = ctx.saved_tensors
        known = torch.ones_like(mean) if weight is None else weight
        # as if mean and variance were given …
        direct, for_weight, for_bias = torch.ops.aten.native_batch_norm_backward(
            gradient, x, known, mean, variance, None, None, False, ctx.eps, [True, True, True]
        )
        # … less what goes through them, which every row moves as often as it counts
        both = sum_over_ranks(torch.stack([for_weight, for_bias]).to(mean.dtype)) / count
        scale = torch.rsqrt(variance + ctx.eps)
        slope = known * scale.square() * both[0]
        through = _scaled(x, slope, known * scale * both[1] - slope * mean)
        through *= rows.to(x.dtype).view(-1, *[1] * (x.dim() - 1))
        if weight is None:
            return direct - through, None, None, None, None
        return direct - through, for_weight, for_bias, None, None


def _per_row(x: Tensor) -> Tensor:
    """Sums over all but rows and channels, (R, C)."""
    return x.flatten(2).sum(2) if x.dim() > 2 else x


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
