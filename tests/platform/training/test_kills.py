"""Processes killed without warning at any moment, while they write a checkpoint too."""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
import torch

from skelray.platform.training import checkpoint
from skelray.platform.training.loop import Loop
from skelray.platform.training.metrics import MetricsFile
from tests.toys import OPTIMISER, toy_loop

KILLS, EPOCHS = 20, 900


def long_loop(folder: Path) -> Loop:
    loop = toy_loop("queue", folder)
    (phase,) = loop.method.phases()
    longer = phase.model_copy(update={"epochs": EPOCHS, "optimiser": OPTIMISER})
    loop.method.phases = lambda: [longer]  # type: ignore[method-assign]
    return loop


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Sums are rounded otherwise by another number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def train(folder: Path, begun: Event) -> None:
    torch.set_num_threads(1)
    replace(long_loop(folder), report=lambda metrics, step: begun.set()).run()


@pytest.mark.usefixtures("one_thread")
def test_killed_at_twenty_moments_a_run_ends_with_the_same_bits(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.toys"])
    moments = random.Random(0)
    reached = []
    for _ in range(KILLS):
        begun = context.Event()
        process = context.Process(target=train, args=(tmp_path / "killed", begun))
        process.start()
        assert begun.wait(60)
        process.join(moments.uniform(0.0, 0.15))
        assert process.is_alive(), "it came to its end before it could be killed"
        process.kill()
        process.join()
        last = checkpoint.latest(tmp_path / "killed" / "checkpoints")
        reached.append(last.step if last else 0)
    assert reached == sorted(reached) and reached[-1] > 0

    states, records = [], []
    for folder in (tmp_path / "killed", tmp_path / "whole"):
        last = long_loop(folder).run()
        assert last.finished
        states.append(last.load()["method"])
        records.append(MetricsFile(folder / "metrics.jsonl").read())
        assert {path.name[:5] for path in last.path.parent.iterdir()} == {"step-"}
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[1])
    assert [r["step"] for r in records[0]] == [2 * (epoch + 1) for epoch in range(EPOCHS)]
    figures = [[r["metrics"]["train/loss"] for r in kept] for kept in records]
    assert figures[0] == figures[1]
