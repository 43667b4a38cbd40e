"""A real MLflow server that is killed, hangs and comes back under a run that goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from skelray.platform.config import RunConfig
from skelray.platform.errors import SkelrayError
from skelray.platform.method import Method
from skelray.platform.tracking import connection
from skelray.platform.tracking.model import load_model
from skelray.platform.tracking.run_file import RunFile
from skelray.platform.tracking.sync import sync
from skelray.platform.tracking.tracker import Tracker
from skelray.platform.training.checkpoint import Checkpoint
from skelray.platform.training.metrics import MetricsFile
from tests.platform.tracking.server import Server


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    server.kill()


PAUSE = 0.5  # seconds before the store is tried again; half a minute otherwise


@pytest.fixture
def server(started: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The store of this test, which does not answer yet."""
    started.kill()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", started.uri)
    monkeypatch.setattr(connection, "PAUSE", PAUSE)
    return started


def train(folder: Path, tracker: Tracker, steps: range) -> float:
    """Writes an epoch's record per step and tracks it, as a run does; returns its seconds."""
    began = time.monotonic()
    for step in steps:
        MetricsFile(folder / "metrics.jsonl").append(step, {"train/loss": 1 / step})
        tracker.sync(step)
    return time.monotonic() - began


def stored(server: Server, folder: Path) -> tuple[Run, list[int]]:
    """The folder's only run in the server's database, and the steps of its curve."""
    client = MlflowClient(server.uri)
    experiment = client.get_experiment_by_name("synthetic_xsub")
    assert experiment is not None
    wanted = f"tags.run_key = '{RunFile.read(folder).key}'"
    (run,) = client.search_runs([experiment.experiment_id], wanted)
    history = client.get_metric_history(run.info.run_id, "train/loss")
    assert [point.value for point in history] == [1 / point.step for point in history]
    return run, [point.step for point in history]


def test_server_away_at_the_start(
    server: Server, tmp_path: Path, config: RunConfig, caplog: pytest.LogCaptureFixture
) -> None:
    began = time.monotonic()
    with Tracker.open(tmp_path, config=config, tags={}) as tracker:
        assert time.monotonic() - began < 5
        assert train(tmp_path, tracker, range(1, 21)) < 5
        assert tracker.run_id is None
        server.start()
        time.sleep(PAUSE)
        train(tmp_path, tracker, range(21, 31))
        run, steps = stored(server, tmp_path)
        assert (run.info.status, steps) == ("RUNNING", list(range(1, 31)))
    run, steps = stored(server, tmp_path)
    assert (run.info.status, steps) == ("FINISHED", list(range(1, 31)))
    assert caplog.text.count("cannot be written") == 1
    assert list(sync([tmp_path])) == [f"{tmp_path.name}: up to date"]


def test_server_killed_in_the_middle(server: Server, tmp_path: Path, config: RunConfig) -> None:
    server.start()
    with Tracker.open(tmp_path, config=config, tags={}) as tracker:
        train(tmp_path, tracker, range(1, 11))
        server.kill()
        assert train(tmp_path, tracker, range(11, 31)) < 5
        server.start()
        time.sleep(PAUSE)
        train(tmp_path, tracker, range(31, 41))
    run, steps = stored(server, tmp_path)
    assert (run.info.status, steps) == ("FINISHED", list(range(1, 41)))


def test_server_killed_before_the_end(
    server: Server,
    tmp_path: Path,
    config: RunConfig,
    method: Method,
    save: Callable[..., Checkpoint],
    caplog: pytest.LogCaptureFixture,
) -> None:
    server.start()
    with Tracker.open(tmp_path, config=config, tags={}) as tracker:
        train(tmp_path, tracker, range(1, 11))
        server.kill()
        began = time.monotonic()
        train(tmp_path, tracker, range(11, 31))
        checkpoint = save(30, finished=True)
        tracker.log_evaluation(30, {"eval/knn1/top1": 50.0})
        tracker.log_model(method, checkpoint, {"eval/knn1/top1": 50.0})
    assert time.monotonic() - began < 8
    assert f"when it is back, run: skelray sync {tmp_path}" in caplog.text
    with pytest.raises(SkelrayError, match="does not answer"):
        list(sync([tmp_path]))

    server.start()
    ended = RunFile.read(tmp_path).ended
    assert ended is not None
    assert list(sync([tmp_path])) == [
        f"{tmp_path.name}: status FINISHED, 20 epochs, 1 figure, the model"
    ]
    run, steps = stored(server, tmp_path)
    assert (run.info.status, run.info.end_time) == ("FINISHED", round(1000 * ended))
    assert steps == list(range(1, 31))
    (output,) = run.outputs.model_outputs
    assert load_model(f"models:/{output.model_id}").config == method.config
    assert list(sync([tmp_path])) == [f"{tmp_path.name}: up to date"]


@pytest.mark.slow
def test_server_that_hangs(
    server: Server,
    tmp_path: Path,
    config: RunConfig,
    save: Callable[..., Checkpoint],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It does what it was asked for when it goes on: twice, as MLflow has tried again."""
    monkeypatch.setattr(connection, "PAUSE", 30.0)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    server.start()
    tracker = Tracker.open(tmp_path, config=config, tags={})
    train(tmp_path, tracker, range(1, 11))
    with server.hanging():
        assert train(tmp_path, tracker, range(11, 31)) < 10
        began = time.monotonic()
        tracker.finish("KILLED")
        assert time.monotonic() - began < 12  # the machine's samples and the last attempt
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
        began = time.monotonic()
        Tracker.open(tmp_path / "other", config=config, tags={}).finish("KILLED")
        assert time.monotonic() - began < 20
    save(30)
    time.sleep(2)
    assert list(sync([tmp_path])) == [f"{tmp_path.name}: status KILLED, 20 epochs"]
    run, steps = stored(server, tmp_path)
    assert (run.info.status, steps) == ("KILLED", list(range(1, 31)))
