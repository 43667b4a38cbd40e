"""One optimiser step of any method: views, forward, backward, clipping, update, carry."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from skelray.platform.distributed import all_gather_rows, rank
from skelray.platform.errors import SkelrayError
from skelray.platform.method import Batch, Draws, Method, Phase, Progress, Step, key_of
from skelray.platform.optim import set_rate

_LOG = logging.getLogger(__name__)
_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class NotFiniteError(SkelrayError):
    """The gradient is NaN or infinite; the line names step and samples of this rank."""


class LossNotFiniteError(NotFiniteError):
    """The loss of this rank's samples is."""


class Stepper:
    """Runs the optimiser steps of one phase on one rank."""

    def __init__(
        self, method: Method, phase: Phase, *, seed: int, device: torch.device, ddp: bool
    ) -> None:
        self.method = method
        self.phase = phase
        self.seed = seed
        self.device = device
        self.optimiser = phase.optimiser.build(method.parameter_groups(phase))
        self.scaler = torch.amp.GradScaler(device.type, enabled=phase.precision == "fp16")
        self.network: nn.Module = method
        if ddp:
            # buffers are equal by construction: broadcasting them would hide a method's bug
            self.network = DistributedDataParallel(method, broadcast_buffers=False)

    def rate(self, progress: Progress) -> float:
        """The learning rate of this step."""
        within = progress.step_in_epoch / progress.steps_per_epoch
        factor = self.phase.schedule.factor(progress.epoch, progress.epochs, within)
        return self.phase.optimiser.lr * factor

    def run(self, batches: Sequence[Batch], progress: Progress) -> dict[str, Tensor]:
        """One optimiser step on the parts of this rank's batch; returns figures to be averaged."""
        set_rate(self.optimiser, self.rate(progress))
        # dropout is the one draw that torch makes: its stream depends on nothing but step and rank
        torch.manual_seed(key_of(self.seed, progress.phase, progress.step, rank()) & (2**63 - 1))
        self.method.before_step(progress)
        self.optimiser.zero_grad(set_to_none=True)
        samples = sum(len(batch) for batch in batches)
        steps = []
        for micro, batch in enumerate(batches):
            last = micro == len(batches) - 1
            now = replace(progress, micro=micro)
            steps.append(self._accumulate(batch, now, len(batch) / samples, last=last))
        self.scaler.unscale_(self.optimiser)
        norm = self._clip()
        self._require_finite(batches, [step.loss for step, _ in steps], norm, progress)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self._after([step for step, _ in steps], progress)
        return {**_averaged(steps), **_clips_read(batches), "train/grad_norm": norm}

    def _accumulate(
        self, batch: Batch, progress: Progress, share: float, *, last: bool
    ) -> tuple[Step, float]:
        draws = Draws(
            key_of(self.seed, progress.phase), progress.epoch, batch.key, step=progress.step
        )
        with torch.no_grad():
            views = self.method.views(batch, draws, progress)
        with self._no_sync(last=last):
            with self._autocast():
                step: Step = self.network(views, progress)
            self.scaler.scale(step.loss * share).backward()
        return step, share

    def _no_sync(self, *, last: bool) -> AbstractContextManager[None]:
        if isinstance(self.network, DistributedDataParallel) and not last:
            waiting: AbstractContextManager[None] = self.network.no_sync()
            return waiting
        return nullcontext()

    def _autocast(self) -> AbstractContextManager[None]:
        if self.phase.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=_TYPES[self.phase.precision])

    def _clip(self) -> Tensor:
        """Clips; returns the gradient's norm before."""
        parameters = [p for group in self.optimiser.param_groups for p in group["params"]]
        limit = self.phase.clip_norm if self.phase.clip_norm is not None else float("inf")
        return nn.utils.clip_grad_norm_(parameters, limit)

    def _require_finite(
        self,
        batches: Sequence[Batch],
        losses: Sequence[Tensor],
        norm: Tensor,
        progress: Progress,
    ) -> None:
        """NotFiniteError before a weight is spoilt, by one look at the device for all of it."""
        found = torch.stack([loss.detach().float() for loss in losses])
        # the scaler leaves out steps of infinite gradients and halves its scale: not for ever
        if not self.scaler.is_enabled() or self.scaler.get_scale() < 1.0:
            found = torch.cat([found, norm.detach().float()[None]])
        if torch.isfinite(found).all():
            return
        broken = [n for n, loss in enumerate(losses) if not torch.isfinite(loss)]
        what = f"loss is {losses[broken[0]]:g}" if broken else f"gradient's norm is {norm:g}"
        ids = [name for n in broken or range(len(batches)) for name in batches[n].id]
        _LOG.info("all samples of the step that is not finite: %s", ", ".join(ids))
        kind = LossNotFiniteError if broken else NotFiniteError
        raise kind(
            f"the {what} in phase {progress.phase}, epoch {progress.epoch + 1}, step "
            f"{progress.step_in_epoch + 1} of {progress.steps_per_epoch}; samples "
            f"{', '.join(ids[:8])}{' …' if len(ids) > 8 else ''}"
        )

    @torch.no_grad()
    def _after(self, steps: Sequence[Step], progress: Progress) -> None:
        names = steps[0].carry
        carry = {
            name: all_gather_rows(torch.cat([step.carry[name] for step in steps])) for name in names
        }
        self.method.after_step(carry, progress)


def _clips_read(batches: Sequence[Batch]) -> dict[str, Tensor]:
    """The share of a step's clips that could be decoded, in percent, where it has clips."""
    there = [batch.clip_ok for batch in batches if batch.clip_ok is not None]
    return {"data/clips_read_pct": 100 * torch.cat(there).float().mean()} if there else {}


def _averaged(steps: Sequence[tuple[Step, float]]) -> dict[str, Tensor]:
    """Loss, terms and figures of a step, weighted by the parts' share of its samples."""
    figures: dict[str, Tensor] = {}
    for step, share in steps:
        named = {
            "train/loss": step.loss,
            **{f"train/loss_{name}": value for name, value in step.terms.items()},
            **{f"train/{name}": value for name, value in step.figures.items()},
        }
        for name, value in named.items():
            figures[name] = figures.get(name, torch.zeros((), device=value.device)) + (
                value.detach().float() * share
            )
    return figures
