from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from skelray.platform.config import RunConfig
from skelray.platform.tracking import watcher
from skelray.platform.tracking.tracker import Tracker
from skelray.platform.tracking.watcher import Watcher
from skelray.platform.training import interruption
from skelray.platform.training.checkpoint import Checkpoint
from skelray.platform.training.metrics import MetricsFile
from skelray.platform.training.status import Status


def steps(client: MlflowClient, run_id: str | None) -> list[int]:
    assert run_id is not None
    return [point.step for point in client.get_metric_history(run_id, "train/loss")]


def until(condition: Callable[[], bool]) -> None:
    for _ in range(400):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("it did not happen within 20 seconds")


def test_watcher_follows_checkpoints_and_takes_the_rest_at_the_end(
    client: MlflowClient, tmp_path: Path, config: RunConfig, save: Callable[[int], Checkpoint]
) -> None:
    file = MetricsFile(tmp_path / "metrics.jsonl")
    with Tracker.open(tmp_path, config=config, tags={}) as tracker:
        with Watcher(tmp_path, tracker, interval=0.02) as thread:
            for step in (10, 20, 30):
                file.append(step, {"train/loss": 1.0, "perf/samples_per_s": 99.0})
            save(20)
            until(lambda: steps(client, tracker.run_id) == [10, 20])
            time.sleep(0.1)
            assert steps(client, tracker.run_id) == [10, 20]  # 30 may still be repeated
            file.append(40, {"train/loss": 1.0})
            save(40)
        assert not thread.is_alive()
    assert steps(client, tracker.run_id) == [10, 20, 30, 40]


def status(phase: str, epoch: int, step: int, loss: float) -> Status:
    return Status(
        phase=phase,
        epoch=epoch,
        epochs=5,
        step=step,
        steps=10,
        loss=loss,
        samples_per_s=99.0,
        data_wait_pct=0.25,
    )


def test_the_status_line_follows_the_newest_step_back_and_forth(
    tmp_path: Path, config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars = []

    def remember(*args: Any, **settings: Any) -> object:
        bars.append(original(*args, **settings))
        return bars[-1]

    original = watcher.progress_bar
    monkeypatch.setattr(watcher, "progress_bar", remember)
    status("pretrain", 1, 9, 9.0).write(tmp_path)  # of an earlier start: not shown
    tracker = Tracker.open(tmp_path, config=config, tags={})
    with tracker, Watcher(tmp_path, tracker, interval=0.02):
        time.sleep(0.1)
        assert not bars
        status("pretrain", 2, 4, 0.25).write(tmp_path)
        until(lambda: bool(bars))
        line = "pretrain epoch 2/5 step 4/10 loss 0.25 99 samples/s data wait 0.2%"
        assert line in str(bars[0])
        assert (bars[0].initial, bars[0].n, bars[0].total) == (14, 14, 50)
        status("pretrain", 1, 10, 0.5).write(tmp_path)  # after a restart
        until(lambda: bars[0].n == 10)
        status("finetune", 1, 1, 0.75).write(tmp_path)
        until(lambda: len(bars) == 2)
    assert (bars[1].n, bars[1].total) == (1, 50)
    assert "finetune epoch 1/5 step 1/10 loss 0.75" in str(bars[1])


def test_a_run_that_is_asked_to_stop_is_marked_at_once(
    client: MlflowClient, tmp_path: Path, config: RunConfig
) -> None:
    """Whoever has asked may kill the driver before it has come to its end."""
    with Tracker.open(tmp_path, config=config, tags={}) as tracker:
        assert tracker.run_id is not None
        with Watcher(tmp_path, tracker, interval=0.02):
            assert client.get_run(tracker.run_id).info.status == "RUNNING"
            interruption.ask(tmp_path)
            until(lambda: client.get_run(tracker.run_id).info.status == "KILLED")  # type: ignore[arg-type]
    assert client.get_run(tracker.run_id).info.status == "KILLED"


def test_failure_in_the_thread_is_said_at_once_and_raised_at_the_end(
    tmp_path: Path,
    config: RunConfig,
    save: Callable[[int], Checkpoint],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(self: Tracker, up_to: int) -> None:
        raise TypeError("a slip")

    monkeypatch.setattr(Tracker, "sync", fail)
    save(10)
    with Tracker.open(tmp_path, config=config, tags={}) as tracker:
        thread = Watcher(tmp_path, tracker, interval=0.02)
        with pytest.raises(TypeError, match="a slip"), thread:
            until(lambda: not thread.is_alive())
            assert "has stopped: a slip" in caplog.text
        with pytest.raises(ZeroDivisionError), Watcher(tmp_path, tracker):
            raise ZeroDivisionError  # training's own failure comes first
    assert not [t for t in threading.enumerate() if t.name.startswith("watch ")]
