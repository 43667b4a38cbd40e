"""The training loop: phases, epochs, steps, checkpoints. Torch alone, with or without Ray Train.

A run is a pure function of its configuration: order, augmentations and dropout come from counters,
so a run that was killed goes on from its newest checkpoint and ends with the same weights.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from skelray.platform import distributed
from skelray.platform.errors import UsageError
from skelray.platform.method import Batch, Method, Phase, Progress, matches
from skelray.platform.training import checkpoint
from skelray.platform.training.checkpoint import Checkpoint
from skelray.platform.training.metrics import MetricsFile
from skelray.platform.training.step import NotFiniteError, Stepper

Loader = Callable[[int], Iterable[Sequence[Batch]]]
"""Epoch -> its steps on this rank, each in the parts over which its gradient is accumulated."""

Report = Callable[[Mapping[str, float], int], None]
"""Called on every rank after every epoch with its metrics and the run's step."""


@dataclass(frozen=True, kw_only=True)
class Loop:
    """Everything a rank needs."""

    method: Method
    folder: Path
    seed: int
    loader: Callable[[Phase], tuple[Loader, int]]  # -> loader, optimiser steps per epoch
    about: Mapping[str, Any]  # what every checkpoint says of its run
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    accumulate: int = 1  # parts of a step
    checkpoint_every: int = 1
    keep_checkpoints: int = 2
    compile: bool = False
    report: Report = lambda metrics, step: None

    def run(self) -> Checkpoint:
        """Trains to the end, from the newest checkpoint if there is one; returns the last."""
        return _Run(self).run()


class _Run:
    """The moving parts of one call of `Loop.run`."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.method = loop.method.to(loop.device)
        self.phases = list(self.method.phases())
        self.learns = {n for n, p in self.method.named_parameters() if p.requires_grad}
        self.metrics = MetricsFile(loop.folder / "metrics.jsonl")
        self.resumed = checkpoint.latest(loop.folder / "checkpoints")
        self.step = 0  # of the run, over all phases
        self.samples = 0
        self.last = self.resumed

    def run(self) -> Checkpoint:
        first_phase, first_epoch = 0, 0
        if self.resumed is not None:
            state = self.resumed.load()
            self.method.load_state_dict(state["method"])
            at = self.resumed.about["progress"]
            first_phase, first_epoch = at["phase_number"], at["epoch"]
            self.step, self.samples = self.resumed.step, at["samples"]
        if distributed.rank() == 0:
            self.metrics.cut_after(self.step)  # without a checkpoint: all
        if self.resumed is not None and self.resumed.finished:
            return self.resumed
        distributed.broadcast_state(self.method)
        if distributed.world_size() > 1:
            distributed.synchronise_batch_norm(self.method)
        if self.loop.compile:
            for name in self.method.encoders:
                self.method.get_submodule(name).compile()
        for number in range(first_phase, len(self.phases)):
            self._phase(number, first_epoch if number == first_phase else 0)
        distributed.barrier()  # rank 0 has written the last checkpoint
        last = checkpoint.latest(self.loop.folder / "checkpoints")
        assert last is not None
        return last

    def _phase(self, number: int, first_epoch: int) -> None:
        phase = self.phases[number]
        self._check(phase)
        self._freeze(phase)
        stepper = Stepper(
            self.method,
            phase,
            seed=self.loop.seed,
            device=self.loop.device,
            ddp=distributed.world_size() > 1,
        )
        if first_epoch and self.resumed is not None:
            state = self.resumed.load()
            stepper.optimiser.load_state_dict(state["optimiser"])
            stepper.scaler.load_state_dict(state["scaler"])
        loader, steps = self.loop.loader(phase)
        for epoch in range(first_epoch, phase.epochs):
            figures = self._epoch(stepper, phase, loader, epoch, steps)
            self._finish_epoch(stepper, number, epoch, figures)

    def _check(self, phase: Phase) -> None:
        if self.loop.accumulate > 1 and self.method.couples_batch:
            raise UsageError(
                f"training.accumulate={self.loop.accumulate}: the loss of "
                f"{self.loop.about['name']} couples the samples of a batch, so its gradient cannot "
                "be accumulated over parts: set training.accumulate=1"
            )

    def _freeze(self, phase: Phase) -> None:
        for name, parameter in self.method.named_parameters():
            chosen = not phase.trainable or matches(name, phase.trainable)
            parameter.requires_grad_(name in self.learns and chosen)
        self.method.train()
        for name, module in self.method.named_modules():
            if name and matches(name, phase.eval_mode):
                module.eval()

    def _epoch(
        self, stepper: Stepper, phase: Phase, loader: Loader, epoch: int, steps: int
    ) -> dict[str, float]:
        sums: dict[str, Tensor] = {}
        waited, began, seen = 0.0, time.perf_counter(), 0
        batches = iter(loader(epoch))
        for in_epoch in range(steps):
            asked = time.perf_counter()
            parts = next(batches)
            waited += time.perf_counter() - asked
            progress = Progress(
                phase=phase.name,
                epoch=epoch,
                epochs=phase.epochs,
                step=epoch * steps + in_epoch,
                step_in_epoch=in_epoch,
                steps_per_epoch=steps,
            )
            for name, value in self._guarded(stepper, parts, progress).items():
                sums[name] = sums.get(name, torch.zeros_like(value)) + value
            seen += sum(map(len, parts)) * distributed.world_size()
            self.step += 1
        self.samples += seen
        means = {n: float(distributed.mean_over_ranks(v / steps)) for n, v in sums.items()}
        seconds = time.perf_counter() - began
        return {
            **means,
            "train/lr": stepper.rate(progress),
            "train/samples_seen": float(self.samples),
            "time/step_s": seconds / steps,
            "time/data_wait_pct": 100.0 * waited / seconds,
            "perf/samples_per_s": seen / seconds,
            **_memory(self.loop.device),
        }

    def _guarded(
        self, stepper: Stepper, parts: Sequence[Batch], progress: Progress
    ) -> dict[str, Tensor]:
        try:
            return stepper.run(parts, progress)
        except NotFiniteError as error:
            good = self.last.path if self.last else "none yet"
            raise NotFiniteError(f"{error}; last good checkpoint: {good}") from None

    def _finish_epoch(
        self, stepper: Stepper, number: int, epoch: int, figures: Mapping[str, float]
    ) -> None:
        phase = self.phases[number]
        finished = number == len(self.phases) - 1 and epoch == phase.epochs - 1
        if distributed.rank() == 0:
            self.metrics.append(
                self.step, figures, epoch=epoch, epochs=phase.epochs, phase=phase.name
            )
        if (epoch + 1) % self.loop.checkpoint_every == 0 or epoch == phase.epochs - 1:
            distributed.assert_equal_state(self.method)
            if distributed.rank() == 0:
                self.last = self._save(stepper, number, epoch, finished=finished)
        self.loop.report(figures, self.step)

    def _save(self, stepper: Stepper, number: int, epoch: int, *, finished: bool) -> Checkpoint:
        phase = self.phases[number]
        over = epoch == phase.epochs - 1  # the next phase starts with its own optimiser
        progress = {
            "phase": phase.name,
            "phase_number": number + over,
            "epoch": 0 if over else epoch + 1,
            "samples": self.samples,
        }
        state = {
            "method": self.method.state_dict(),
            "optimiser": stepper.optimiser.state_dict(),
            "scaler": stepper.scaler.state_dict(),
        }
        about = {**self.loop.about, "step": self.step, "progress": progress, "finished": finished}
        return checkpoint.save(
            self.loop.folder / "checkpoints",
            state=state,
            about=about,
            keep=self.loop.keep_checkpoints,
        )


def _memory(device: torch.device) -> dict[str, float]:
    if device.type != "cuda":
        return {}
    return {"mem/max_reserved_gib": torch.cuda.max_memory_reserved(device) / 2**30}
