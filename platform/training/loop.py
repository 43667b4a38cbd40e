"""The training loop: phases, epochs, steps, checkpoints. Torch alone, with or without Ray Train.

A run is a pure function of its configuration: order, augmentations and dropout come from counters,
so a run that was killed goes on from its newest checkpoint and ends with the same weights. A run
that is asked to stop writes a checkpoint after the step it is at, in the middle of an epoch too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from skelray.platform import distributed
from skelray.platform.errors import UsageError
from skelray.platform.method import Batch, Method, Phase, Progress, matches
from skelray.platform.nn.batch_norm import synchronise_batch_norm
from skelray.platform.training import checkpoint
from skelray.platform.training.checkpoint import Checkpoint
from skelray.platform.training.clock import Clock
from skelray.platform.training.metrics import MetricsFile
from skelray.platform.training.status import Status
from skelray.platform.training.step import NotFiniteError, Stepper
from skelray.platform.training.tally import Tally

Loader = Callable[[int, int], Iterable[Sequence[Batch]]]
"""Epoch and first step -> the epoch's steps on this rank from there on, each in the parts over
which its gradient is accumulated."""

Draw = Callable[[Method, int, int, int], list[str]]
"""Called on rank 0 after every epoch with the run's step, the phase's epoch from 1 on and its
epochs; returns the names of pictures that it has drawn. It leaves the method as it was."""

Test = Callable[[Method, int, int], Mapping[str, float]]
"""Called on every rank after every epoch with the phase's epoch from 1 on and its epochs; returns
figures for the epoch's record, the same on all ranks. It leaves the method as it was."""

Report = Callable[[Mapping[str, float], int], None]
"""Called on every rank after every epoch with its metrics and the run's step."""


def draw_nothing(method: Method, step: int, epoch: int, epochs: int) -> list[str]:
    """The Draw of a run without pictures."""
    return []


def test_nothing(method: Method, epoch: int, epochs: int) -> Mapping[str, float]:
    """The Test of a run without labels."""
    return {}


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
    draw: Draw = draw_nothing
    test: Test = test_nothing
    report: Report = lambda metrics, step: None
    stop: Callable[[], bool] = lambda: False  # asked on all ranks after a step: the same answer

    def run(self) -> Checkpoint:
        """Trains to the end, from the newest checkpoint if there is one; returns the last.

        It is not `finished` where `stop` ended the run early. CheckpointError where the newest
        checkpoint is damaged or of another run.
        """
        return _Run(self).run()


class _Run:
    """The moving parts of one call of `Loop.run`."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.method = loop.method.to(loop.device)
        self.phases = list(self.method.phases())
        self.learns = {n for n, p in self.method.named_parameters() if p.requires_grad}
        self.checkpoints = loop.folder / "checkpoints"
        self.metrics = MetricsFile(loop.folder / "metrics.jsonl")
        self.clock = Clock(1.0)  # reading the loss waits for the device
        self.step = 0  # of the run, over all phases
        self.samples = 0  # of its whole epochs
        self.ended: dict[str, str] = {}  # phase -> the checkpoint at its end
        self.stopped = False

    def run(self) -> Checkpoint:
        resumed = self._newest()
        progress = self._resume(resumed) if resumed else {"phase_number": 0}
        if distributed.rank() == 0:
            checkpoint.remove_unfinished(self.checkpoints)
            self.metrics.cut_after(self.step)  # without a checkpoint: all
        if resumed is not None and resumed.finished:
            return resumed
        distributed.broadcast_state(self.method)
        if distributed.world_size() > 1:
            synchronise_batch_norm(self.method)
        if self.loop.compile:
            for name in self.method.encoders:
                self.method.get_submodule(name).compile()
        for number in range(progress["phase_number"], len(self.phases)):
            phase = _PhaseRun(self, number)
            if resumed is not None and number == progress["phase_number"]:
                phase.resume(resumed)
            phase.run()
            if self.stopped:
                break
        last = self._newest()
        assert last is not None
        return last

    def _newest(self) -> Checkpoint | None:
        """The checkpoint that rank 0 sees: a shared disk may show others an older list."""
        seen = checkpoint.latest(self.checkpoints) if distributed.rank() == 0 else None
        step = distributed.from_rank_zero(seen.step if seen else 0)
        return Checkpoint.open(self.checkpoints / checkpoint.name_of(step)) if step else None

    def _resume(self, resumed: Checkpoint) -> dict[str, Any]:
        """Takes over what a checkpoint holds of the whole run; returns where it was."""
        resumed.require_run(self.loop.about)
        resumed.restore(self.method)
        progress: dict[str, Any] = resumed.about["progress"]
        self.step, self.samples = resumed.step, progress["samples"]
        self.ended = dict(progress["ended"])
        return progress

    def save(self, state: Mapping[str, Any], *, progress: Mapping[str, Any]) -> None:
        """Writes a checkpoint, after a look whether all ranks hold the same."""
        distributed.assert_equal_state(self.method)
        if distributed.rank() > 0:
            return
        checkpoint.save(
            self.checkpoints,
            state={"method": self.method.state_dict(), **state},
            about={
                **self.loop.about,
                "step": self.step,
                "progress": {**progress, "samples": self.samples, "ended": self.ended},
                "finished": progress["phase_number"] == len(self.phases),
            },
            keep=self.loop.keep_checkpoints,
        )


class _PhaseRun:
    """One phase of a run: epochs and steps, from its beginning or from where a checkpoint was."""

    def __init__(self, run: _Run, number: int) -> None:
        self.whole = run
        self.number = number
        self.phase = run.phases[number]
        self._check()
        self._freeze()
        self.stepper = Stepper(
            run.method,
            self.phase,
            seed=run.loop.seed,
            device=run.loop.device,
            ddp=distributed.world_size() > 1,
        )
        self.loader, self.steps = run.loop.loader(self.phase)
        self.epoch = 0
        self.tally = Tally()

    def _check(self) -> None:
        loop = self.whole.loop
        if loop.accumulate > 1 and loop.method.couples_batch:
            raise UsageError(
                f"training.accumulate={loop.accumulate}: the loss of {loop.about['name']} couples "
                "the samples of a batch, so its gradient cannot be accumulated over parts: set "
                "training.accumulate=1"
            )

    def _freeze(self) -> None:
        method, phase = self.whole.method, self.phase
        for name, parameter in method.named_parameters():
            chosen = not phase.trainable or matches(name, phase.trainable)
            parameter.requires_grad_(name in self.whole.learns and chosen)
        method.train()
        for name, module in method.named_modules():
            if name and matches(name, phase.eval_mode):
                module.eval()

    def resume(self, resumed: Checkpoint) -> None:
        """Takes over optimiser, scaler and what the epoch has come to."""
        state = resumed.load()
        if state["optimiser"] is None:  # the checkpoint is of the end of the phase before
            return
        self.stepper.optimiser.load_state_dict(state["optimiser"])
        self.stepper.scaler.load_state_dict(state["scaler"])
        self.epoch = resumed.about["progress"]["epoch"]
        self.tally = Tally.from_state(state["epoch"], self.whole.loop.device)

    def run(self) -> None:
        """Trains to the phase's end, or to where `stop` ends the run."""
        every = self.whole.loop.checkpoint_every
        while self.epoch < self.phase.epochs and not self.whole.stopped:
            self._steps()
            figures = self._end_epoch() if self.tally.steps == self.steps else None
            over = self.epoch == self.phase.epochs
            if self.whole.stopped or over or self.epoch % every == 0:
                self._save(over=over)
            if figures is not None:
                self.whole.loop.report(figures, self.whole.step)

    def _steps(self) -> None:
        """The remaining steps of the epoch, or fewer where `stop` says so."""
        run, tally = self.whole, self.tally
        began = time.perf_counter() - tally.seconds
        batches = iter(self.loader(self.epoch, tally.steps))
        while tally.steps < self.steps and not run.stopped:
            asked = time.perf_counter()
            parts = next(batches)
            waited = time.perf_counter() - asked
            figures = self._step(parts)
            tally.add(figures, sum(map(len, parts)) * distributed.world_size())
            tally.waited += waited
            tally.seconds = time.perf_counter() - began
            run.step += 1
            self._show(figures["train/loss"])
            run.stopped = run.loop.stop()

    def _step(self, parts: Sequence[Batch]) -> dict[str, Tensor]:
        try:
            return self.stepper.run(parts, self._progress(self.tally.steps))
        except NotFiniteError as error:
            last = checkpoint.latest(self.whole.checkpoints)
            good = last.path if last else "none yet"
            raise type(error)(f"{error}; last good checkpoint: {good}") from None

    def _progress(self, step: int) -> Progress:
        return Progress(
            phase=self.phase.name,
            epoch=self.epoch,
            epochs=self.phase.epochs,
            step=self.epoch * self.steps + step,
            step_in_epoch=step,
            steps_per_epoch=self.steps,
        )

    def _show(self, loss: Tensor) -> None:
        """Says where the run is, now and then and at the phase's end."""
        last = self.tally.steps == self.steps and self.epoch == self.phase.epochs - 1
        if distributed.rank() > 0 or not (self.whole.clock.due() or last):
            return
        status = Status(
            phase=self.phase.name,
            epoch=self.epoch + 1,
            epochs=self.phase.epochs,
            step=self.tally.steps,
            steps=self.steps,
            loss=float(loss),
            samples_per_s=self.tally.samples_per_s,
            data_wait_pct=self.tally.data_wait_pct,
        )
        with suppress(OSError):  # on a full disk there may be room again at the checkpoint
            status.write(self.whole.loop.folder)

    def _end_epoch(self) -> dict[str, float]:
        """Writes the epoch's figures and goes to the next one."""
        run = self.whole
        run.samples += self.tally.samples
        figures = {
            **self.tally.figures(),
            "train/lr": self.stepper.rate(self._progress(self.steps - 1)),
            "train/samples_seen": float(run.samples),
            **_memory(run.loop.device),
        }
        if not run.stopped:  # who is asked to stop has no time for more
            figures |= run.loop.test(run.method, self.epoch + 1, self.phase.epochs)
        if distributed.rank() == 0:
            epochs, draw = self.phase.epochs, run.loop.draw
            drawn = [] if run.stopped else draw(run.method, run.step, self.epoch + 1, epochs)
            run.metrics.append(
                run.step,
                figures,
                epoch=self.epoch,
                epochs=epochs,
                phase=self.phase.name,
                pictures=drawn,
            )
        self.epoch += 1
        self.tally = Tally()
        return figures

    def _save(self, *, over: bool) -> None:
        run = self.whole
        state: dict[str, Any] = {"optimiser": None, "scaler": None, "epoch": None}
        if over:
            run.ended[self.phase.name] = checkpoint.name_of(run.step)
        else:
            state = {
                "optimiser": self.stepper.optimiser.state_dict(),
                "scaler": self.stepper.scaler.state_dict(),
                "epoch": self.tally.state_dict(),
            }
        progress = {
            "phase": self.phase.name,
            "phase_number": self.number + over,
            "epoch": 0 if over else self.epoch,
        }
        run.save(state, progress=progress)


def _memory(device: torch.device) -> dict[str, float]:
    if device.type != "cuda":
        return {}
    return {"mem/max_reserved_gib": torch.cuda.max_memory_reserved(device) / 2**30}
