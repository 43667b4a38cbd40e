"""The training loop on toy methods: resume, ranks, phases, accumulation, faults. No Ray."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from skelray.platform.errors import CheckpointError, UsageError
from skelray.platform.method import Batch, Method, Phase
from skelray.platform.nn.modes import in_eval_mode
from skelray.platform.training import checkpoint
from skelray.platform.training.loop import Loader, Loop
from skelray.platform.training.metrics import MetricsFile
from skelray.platform.training.status import Status
from skelray.platform.training.step import NotFiniteError
from tests.toys import SAMPLES, TOYS, final_state, on_ranks, toy_loop, train_toys


class Killed(BaseException):
    """Stands for a process that dies."""


def killed_after(loop: Loop, steps: int) -> Loop:
    """The loop, its process dying when batch number `steps` is asked for."""
    given = 0

    def loader(phase: Phase) -> tuple[Loader, int]:
        inner, count = loop.loader(phase)

        def epoch(number: int, first: int) -> Iterator[list[Batch]]:
            nonlocal given
            for parts in inner(number, first):
                if given == steps:
                    raise Killed
                given += 1
                yield list(parts)

        return epoch, count

    return replace(loop, loader=loader)


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_a_run_killed_before_its_first_checkpoint_repeats_no_record(tmp_path: Path) -> None:
    loop = toy_loop("queue", tmp_path, checkpoint_every=3)
    with pytest.raises(Killed):
        killed_after(loop, 5).run()
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    assert [record["step"] for record in metrics.read()] == [2, 4]
    toy_loop("queue", tmp_path, checkpoint_every=3).run()
    assert [record["step"] for record in metrics.read()] == [2, 4, 6]


@pytest.mark.parametrize("name", TOYS)
@pytest.mark.parametrize("steps", [1, 3, 5])
def test_a_killed_run_ends_with_the_same_bits(tmp_path: Path, name: str, steps: int) -> None:
    whole = final_state(toy_loop(name, tmp_path / "whole"))
    with pytest.raises(Killed):
        killed_after(toy_loop(name, tmp_path / "killed"), steps).run()
    assert equal(final_state(toy_loop(name, tmp_path / "killed")), whole)
    records = MetricsFile(tmp_path / "killed" / "metrics.jsonl").read()
    expected = MetricsFile(tmp_path / "whole" / "metrics.jsonl").read()
    assert [r["step"] for r in records] == [r["step"] for r in expected]
    for ours, theirs in zip(records, expected, strict=True):
        assert ours["metrics"]["train/loss"] == theirs["metrics"]["train/loss"]


def test_a_finished_run_is_left_alone(tmp_path: Path) -> None:
    first = toy_loop("queue", tmp_path).run()
    written = (first.path / "state.pt").stat().st_mtime_ns
    assert toy_loop("queue", tmp_path).run().path == first.path
    assert (first.path / "state.pt").stat().st_mtime_ns == written


def test_two_ranks_equal_one(tmp_path: Path) -> None:
    on_ranks(2, train_toys, list(TOYS), tmp_path / "two")
    for name in TOYS:
        one = final_state(toy_loop(name, tmp_path / "one" / name))
        last = checkpoint.latest(tmp_path / "two" / name / "checkpoints")
        assert last is not None
        two = last.load()["method"]
        for key, value in one.items():
            torch.testing.assert_close(two[key], value, atol=2e-5, rtol=2e-4, msg=f"{name} {key}")


def test_accumulated_parts_equal_the_whole_batch(tmp_path: Path) -> None:
    loop = toy_loop("clip", tmp_path / "whole")
    parts = toy_loop("clip", tmp_path / "parts", accumulate=2)
    for one in (loop, parts):
        one.method.encoder[2] = torch.nn.Identity()  # BatchNorm sees parts by definition
    a, b = final_state(loop), final_state(parts)
    for key in a:
        torch.testing.assert_close(a[key], b[key], atol=1e-5, rtol=1e-4)
    with pytest.raises(UsageError, match=r"accumulate=2.*couples the samples"):
        toy_loop("gather", tmp_path / "gather", accumulate=2).run()


def test_phases_train_what_they_name(tmp_path: Path) -> None:
    loop = toy_loop("phases", tmp_path, keep_checkpoints=9)
    start = {key: value.clone() for key, value in loop.method.state_dict().items()}
    loop.run()
    steps = SAMPLES // 8
    states = [
        checkpoint.Checkpoint.open(tmp_path / "checkpoints" / f"step-{step:08d}").load()["method"]
        for step in (2 * steps, 4 * steps, 4 * steps + 2 * (steps + 1))
    ]
    encoder, head = "encoder.1.weight", "head.weight"
    assert torch.equal(states[0][head], start[head])
    assert not torch.equal(states[0][encoder], start[encoder])
    for key in states[0]:  # the frozen encoder keeps its BatchNorm statistics too
        assert torch.equal(states[1][key], states[0][key]) != key.startswith("head"), key
    assert not torch.equal(states[2][encoder], states[1][encoder])
    assert not torch.equal(states[2][head], states[1][head])


def test_records_hold_the_vocabulary(tmp_path: Path) -> None:
    toy_loop("queue", tmp_path).run()
    records = MetricsFile(tmp_path / "metrics.jsonl").read()
    assert [(r["epoch"], r["step"]) for r in records] == [(0, 2), (1, 4), (2, 6)]
    assert {
        "train/loss",
        "train/loss_contrast",
        "train/lr",
        "train/grad_norm",
        "train/samples_seen",
        "time/step_s",
        "time/data_wait_pct",
        "perf/samples_per_s",
    } <= records[0]["metrics"].keys()
    assert records[2]["metrics"]["train/samples_seen"] == 48
    assert records[0]["metrics"]["train/lr"] == 0.05


def test_a_loss_that_is_not_finite_stops_with_step_samples_and_checkpoint(tmp_path: Path) -> None:
    loop = toy_loop("queue", tmp_path)
    views = loop.method.views

    def poisoned(batch, draws, progress):  # type: ignore[no-untyped-def]
        scale = float("nan") if progress.step == 3 else 1.0
        return {name: view * scale for name, view in views(batch, draws, progress).items()}

    loop.method.views = poisoned  # type: ignore[method-assign]
    with pytest.raises(
        NotFiniteError,
        match=r"loss is nan in phase pretrain, epoch 2, step 2 of 2; samples toy.*00000002",
    ):
        loop.run()
    last = checkpoint.latest(tmp_path / "checkpoints")
    assert last is not None and last.step == 2


def test_a_gradient_that_is_not_finite_spoils_no_weight(tmp_path: Path) -> None:
    loop = toy_loop("gather", tmp_path)
    forward = loop.method.forward

    def poisoned(views, progress):  # type: ignore[no-untyped-def]
        step = forward(views, progress)
        if progress.step < 3:
            return step
        weight = loop.method.encoder[1].weight
        return replace(step, loss=step.loss + (weight - weight).sqrt().sum())  # 0, d/dw infinite

    loop.method.forward = poisoned  # type: ignore[method-assign]
    with pytest.raises(NotFiniteError, match=r"the gradient's norm is nan .*epoch 2, step 2 of 2"):
        loop.run()
    assert all(torch.isfinite(value).all() for value in loop.method.state_dict().values())


def test_gradients_that_overflow_for_ever_end_a_run_in_half_precision(tmp_path: Path) -> None:
    loop = toy_loop("queue", tmp_path)
    (phase,) = loop.method.phases()
    half = phase.model_copy(update={"epochs": 20, "precision": "fp16"})
    loop.method.phases = lambda: [half]  # type: ignore[method-assign]
    forward = loop.method.forward

    def poisoned(views, progress):  # type: ignore[no-untyped-def]
        step = forward(views, progress)
        weight = loop.method.encoder[1].weight
        return replace(step, loss=step.loss + (weight - weight).sqrt().sum())

    loop.method.forward = poisoned  # type: ignore[method-assign]
    # 65536 halved 17 times is below 1: each step before was left out
    with pytest.raises(NotFiniteError, match=r"norm is nan .*epoch 9, step 2 of 2"):
        loop.run()


class StopAfter:
    """Asks a run to stop after so many steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def __call__(self) -> bool:
        self.left -= 1
        return self.left == 0


@pytest.mark.parametrize("name", TOYS)
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_stopped_run_goes_on_at_the_next_step(tmp_path: Path, name: str, steps: int) -> None:
    whole = final_state(toy_loop(name, tmp_path / "whole", checkpoint_every=2))
    folder = tmp_path / "stopped"
    starts = 0
    while True:
        last = toy_loop(name, folder, checkpoint_every=2, stop=StopAfter(steps)).run()
        starts += 1
        assert starts > 1 or last.step == steps
        if last.finished:
            break
    assert starts > 1
    assert equal(last.load()["method"], whole)
    expected = MetricsFile(tmp_path / "whole" / "metrics.jsonl").read()
    for ours, theirs in zip(MetricsFile(folder / "metrics.jsonl").read(), expected, strict=True):
        assert (ours["step"], ours["epoch"]) == (theirs["step"], theirs["epoch"])
        for figure in ("train/loss", "train/grad_norm", "train/lr", "train/samples_seen"):
            assert ours["metrics"][figure] == pytest.approx(theirs["metrics"][figure], rel=1e-6)


def stop_and_go_on(folder: Path) -> None:
    for name in TOYS:
        assert not toy_loop(name, folder / name, stop=StopAfter(3)).run().finished
        assert toy_loop(name, folder / name).run().finished


def test_two_stopped_ranks_equal_one(tmp_path: Path) -> None:
    on_ranks(2, stop_and_go_on, tmp_path / "two")
    for name in TOYS:
        one = toy_loop(name, tmp_path / "one" / name)
        expected = final_state(one)
        last = checkpoint.latest(tmp_path / "two" / name / "checkpoints")
        assert last is not None
        for key, value in last.load()["method"].items():
            torch.testing.assert_close(value, expected[key], atol=2e-5, rtol=2e-4, msg=key)
        losses = [
            [r["metrics"]["train/loss"] for r in MetricsFile(folder / "metrics.jsonl").read()]
            for folder in (one.folder, tmp_path / "two" / name)
        ]
        assert losses[1] == pytest.approx(losses[0], rel=1e-4)


def test_pictures_of_an_epoch_stand_with_its_figures(tmp_path: Path) -> None:
    asked = []

    def draw(method: Method, step: int, epoch: int, epochs: int) -> list[str]:
        asked.append((step, epoch, epochs))
        return [f"tsne-step-{step}.png"] if epoch == 2 else []

    toy_loop("queue", tmp_path, draw=draw).run()
    assert asked == [(2, 1, 3), (4, 2, 3), (6, 3, 3)]
    records = MetricsFile(tmp_path / "metrics.jsonl").read()
    assert [record["pictures"] for record in records] == [[], ["tsne-step-4.png"], []]


@pytest.mark.parametrize("name", TOYS)
def test_pictures_change_no_weight(tmp_path: Path, name: str) -> None:
    """Neither does what an encoder computes for them, nor a draw of torch's."""

    def draw(method: Method, step: int, epoch: int, epochs: int) -> list[str]:
        with in_eval_mode(method), torch.no_grad():
            method.encoder(torch.rand(5, *next(method.encoder.parameters()).shape[1:]))
        return []

    without = final_state(toy_loop(name, tmp_path / "without"))
    assert equal(final_state(toy_loop(name, tmp_path / "with", draw=draw)), without)


def test_status_says_where_the_run_is(tmp_path: Path) -> None:
    toy_loop("queue", tmp_path).run()
    status = Status.read(tmp_path)
    assert status is not None
    assert (status.phase, status.epoch, status.epochs) == ("pretrain", 3, 3)
    assert (status.step, status.steps, status.done) == (2, 2, 6)
    assert status.samples_per_s > 0 and 0 <= status.data_wait_pct <= 100


def test_only_the_newest_checkpoints_are_kept(tmp_path: Path) -> None:
    toy_loop("queue", tmp_path, keep_checkpoints=1).run()
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["step-00000006"]


def test_checkpoints_at_the_end_of_a_phase_are_kept_and_named(tmp_path: Path) -> None:
    last = toy_loop("phases", tmp_path, keep_checkpoints=1).run()
    names = {"encoder": "step-00000004", "head": "step-00000008", "both": "step-00000014"}
    assert last.about["progress"]["ended"] == names
    kept = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert kept == sorted(names.values())


@pytest.mark.parametrize(("key", "what"), [("name", "method"), ("run", "run")])
def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path, key: str, what: str) -> None:
    loop = toy_loop("queue", tmp_path, stop=StopAfter(1))
    loop.run()
    other = replace(loop, about={**loop.about, key: "another"}, stop=lambda: False)
    with pytest.raises(CheckpointError, match=f"step-00000001 is of {what} .*, not another"):
        other.run()
