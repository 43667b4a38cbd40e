from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from skelray.platform.config import RunConfig
from skelray.platform.tracking import watcher
from skelray.platform.tracking.tracker import Tracker
from skelray.platform.tracking.watcher import Watcher
from skelray.platform.training.checkpoint import Checkpoint
from skelray.platform.training.metrics import MetricsFile


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
        with Watcher(tmp_path, tracker, epochs=4, interval=0.02) as thread:
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


def test_progress_counts_epochs_back_and_forth(
    tmp_path: Path, config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars = []

    def remember(*args: object) -> object:
        bars.append(original(*args))  # type: ignore[arg-type]
        return bars[-1]

    original = watcher.progress_bar
    monkeypatch.setattr(watcher, "progress_bar", remember)
    file = MetricsFile(tmp_path / "metrics.jsonl")
    for step in (10, 20, 30):
        file.append(step, {"train/loss": 0.25, "perf/samples_per_s": 99.0})
    tracker = Tracker.open(tmp_path, config=config, tags={})
    with tracker, Watcher(tmp_path, tracker, epochs=5, interval=0.02):
        until(lambda: bool(bars) and "loss=0.25, samples/s=99" in str(bars[0]))
        assert bars[0].n == bars[0].initial == 3
        file.cut_after(20)
        until(lambda: bars[0].n == 2)
        file.append(30, {"train/loss": 0.125})
    assert (bars[0].n, bars[0].total) == (3, 5)
    assert "loss=0.125" in str(bars[0])


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
        thread = Watcher(tmp_path, tracker, epochs=1, interval=0.02)
        with pytest.raises(TypeError, match="a slip"), thread:
            until(lambda: not thread.is_alive())
            assert "has stopped: a slip" in caplog.text
        with pytest.raises(ZeroDivisionError), Watcher(tmp_path, tracker, epochs=1):
            raise ZeroDivisionError  # training's own failure comes first
    assert not [t for t in threading.enumerate() if t.name.startswith("watch ")]
