"""Several processes as one: gathers and sums with and without gradient, equal state.

Everything here is the identity in a single process, so that methods need no special case.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd import Function


def world_size() -> int:
    """Number of processes; 1 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """This process's number; 0 without a process group."""
    return dist.get_rank() if world_size() > 1 else 0


def from_rank_zero(number: int) -> int:
    """Rank 0's number on every rank."""
    if world_size() == 1:
        return number
    cuda = dist.get_backend() == "nccl"
    value = torch.tensor(number, device="cuda" if cuda else "cpu")
    dist.broadcast(value, src=0)
    return int(value)


def all_gather_rows(rows: Tensor) -> Tensor:
    """(n, …) of each rank, n equal on all -> (n · world, …) in rank order, without gradient."""
    if world_size() == 1:
        return rows
    pieces = [torch.empty_like(rows) for _ in range(world_size())]
    dist.all_gather(pieces, rows.contiguous())
    return torch.cat(pieces)


class _GatherWithGradient(Function):
    """all_gather whose backward sums every rank's gradient for this rank's rows."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.count = len(rows)
        return all_gather_rows(rows)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        # a copy: autograd may hand the same tensor to others
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        start = rank() * ctx.count
        return total[start : start + ctx.count]


def gather_with_gradient(rows: Tensor) -> Tensor:
    """(n, …) of every rank -> (n · world, …), differentiable.

    DDP averages gradients over ranks: a loss computed in full on every rank from gathered rows thus
    gives the gradient of the single-process loss.
    """
    if world_size() == 1:
        return rows
    gathered: Tensor = _GatherWithGradient.apply(rows)
    return gathered


class _AllReduceSum(Function):
    """A sum over ranks; the gradient of a sum over ranks is the sum of the gradients."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        dist.all_reduce(total)
        return total


def sum_over_ranks(value: Tensor) -> Tensor:
    """The differentiable sum over all ranks."""
    if world_size() == 1:
        return value
    total: Tensor = _AllReduceSum.apply(value)
    return total


class _SumForCommonLoss(Function):
    """A sum over ranks whose gradient is the same on all of them."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient * world_size()


def sum_for_common_loss(value: Tensor) -> Tensor:
    """The sum over all ranks, of which every rank then computes the same loss.

    It equals `sum_over_ranks`, but nothing is sent on the way back: as the ranks' gradients are
    equal, their sum is this rank's times their number, which DDP's mean divides away.
    """
    if world_size() == 1:
        return value
    total: Tensor = _SumForCommonLoss.apply(value)
    return total


def mean_over_ranks(value: Tensor) -> Tensor:
    """The mean over all ranks, without gradient."""
    if world_size() == 1:
        return value
    total = value.detach().clone()
    dist.all_reduce(total)
    return total / world_size()


def broadcast_state(module: nn.Module) -> None:
    """Gives every rank the parameters and buffers of rank 0."""
    if world_size() > 1:
        for tensor in module.state_dict().values():
            dist.broadcast(tensor, src=0)


def state_hash(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over names and bytes of all tensors."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name}{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def assert_equal_state(module: nn.Module) -> None:
    """RuntimeError where the ranks' states differ: a bug in a queue, teacher or counter."""
    if world_size() == 1:
        return
    hashes: list[Any] = [None] * world_size()
    dist.all_gather_object(hashes, state_hash(module.state_dict()))
    if len(set(hashes)) > 1:
        differing = [i for i, value in enumerate(hashes) if value != hashes[0]]
        raise RuntimeError(f"the state of ranks {differing} differs from that of rank 0")
