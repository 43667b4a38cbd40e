"""The default store, an SQLite file: locked, read-only, deleted, full, or nowhere."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import sqlalchemy
from mlflow import MlflowClient
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from skelray.platform.config import RunConfig
from skelray.platform.errors import SkelrayError
from skelray.platform.tracking import connection, probe, store
from skelray.platform.tracking.sync import sync
from skelray.platform.tracking.tracker import Tracker
from skelray.platform.training.metrics import MetricsFile
from tests.platform.tracking.test_sync import Save, run_of

LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Another process holds the database."""
    process = subprocess.Popen(
        [sys.executable, "-c", LOCK, str(database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None and process.stdout.readline() == b"locked\n"
    yield
    process.communicate()


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Gives a command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", f"from skelray.platform.cli import main; main({[*arguments]})"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "PAUSE", 0.0)
    monkeypatch.setattr(probe, "_PATIENCE", 1)


def steps(client: MlflowClient, folder: Path) -> list[int]:
    run_id = run_of(client, folder).info.run_id
    return [point.step for point in client.get_metric_history(run_id, "train/loss")]


def write(folder: Path, *numbers: int) -> None:
    for step in numbers:
        MetricsFile(folder / "metrics.jsonl").append(step, {"train/loss": 1 / step})


@pytest.mark.usefixtures("patient")
def test_locked_by_another_process_at_the_start(
    client: MlflowClient,
    home: Path,
    tmp_path: Path,
    config: RunConfig,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write(tmp_path, 10, 20)
    with locked(home / "mlflow.db"):
        began = time.monotonic()
        tracker = Tracker.open(tmp_path, config=config, tags={})
        tracker.sync(10)
        with pytest.raises(SkelrayError, match=r"does not answer \(database is locked\)"):
            list(sync([tmp_path]))
        assert time.monotonic() - began < 8
    assert "cannot be written (database is locked)" in caplog.text
    tracker.sync(20)
    tracker.finish("FINISHED")
    assert steps(client, tmp_path) == [10, 20]
    assert run_of(client, tmp_path).info.status == "FINISHED"


@pytest.mark.slow
@pytest.mark.usefixtures("patient")
def test_locked_by_another_process_in_the_middle(
    client: MlflowClient, home: Path, tmp_path: Path, config: RunConfig
) -> None:
    write(tmp_path, 10, 20)
    with Tracker.open(tmp_path, config=config, tags={}) as tracker:
        with locked(home / "mlflow.db"):
            began = time.monotonic()
            tracker.sync(10)  # as long as MLflow waits: other runs write too
            assert 15 < time.monotonic() - began < 30
            began = time.monotonic()
            tracker.sync(10)
            assert time.monotonic() - began < 3
        tracker.sync(20)
        assert steps(client, tmp_path) == [10, 20]
    assert run_of(client, tmp_path).info.status == "FINISHED"


def test_read_only(
    client: MlflowClient,
    home: Path,
    tmp_path: Path,
    config: RunConfig,
    save: Save,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write(tmp_path, 10)
    client.search_experiments()  # creates it
    with monkeypatch.context() as outage:
        read_only = f"sqlite:///file:{home / 'mlflow.db'}?mode=ro&uri=true"
        outage.setenv("MLFLOW_TRACKING_URI", read_only)
        with Tracker.open(tmp_path, config=config, tags={}) as tracker:
            tracker.sync(10)
        assert tracker.run_id is None
        assert caplog.text.count("cannot be written (attempt to write a readonly database)") == 1
        done = command("sync", str(tmp_path))
        assert done.returncode == 1
        name = tmp_path.name
        assert done.stdout == f"{name}: skipped: attempt to write a readonly database\n"
        assert done.stderr == "error: 1 of 1 runs skipped, see above\n"  # and nothing of MLflow's
    save(10)
    assert list(sync([tmp_path])) == [
        f"{tmp_path.name}: a new run with its settings, status FINISHED, 1 epoch"
    ]
    assert steps(client, tmp_path) == [10]


def test_deleted_under_the_run(
    tmp_path: Path,
    config: RunConfig,
    save: Save,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("SKELRAY_HOME", str(tmp_path / "home"))
    folder = tmp_path / "home/runs/a"
    write(folder, 10, 20, 30)
    save(30, folder)
    with Tracker.open(folder, config=config, tags={}) as tracker:
        tracker.sync(10)
        (tmp_path / "home/mlflow.db").unlink()
        tracker.sync(30)
    assert "cannot be written (attempt to write a readonly database)" in caplog.text
    assert f"run: skelray sync {folder}" in caplog.text
    done = command("sync", "a")  # this process has the deleted file open
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "a: a new run with its settings, status FINISHED, 3 epochs\n"
    with closing(sqlite3.connect(tmp_path / "home/mlflow.db")) as database:
        query = "SELECT step FROM metrics WHERE key = 'train/loss' ORDER BY step"
        assert database.execute(query).fetchall() == [(10,), (20,), (30,)]


def test_on_a_full_disk(
    tmp_path: Path,
    config: RunConfig,
    save: Save,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """SQLite is told how many pages its file may have, and fails as on a disk that is full."""
    monkeypatch.setenv("SKELRAY_HOME", str(tmp_path / "home"))
    client = MlflowClient(store.tracking_uri())
    client.search_experiments()
    engine = SqlAlchemyStore._get_or_create_engine(store.tracking_uri())
    limits = [1]

    @sqlalchemy.event.listens_for(engine, "begin")
    def limit(connection: sqlalchemy.Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {limits[0]}")

    folder = tmp_path / "run"
    for step in (10, 20):
        numbers = {f"train/figure_{number}": float(number) for number in range(500)}
        MetricsFile(folder / "metrics.jsonl").append(step, {"train/loss": 1 / step, **numbers})
    save(20, folder)
    with Tracker.open(folder, config=config, tags={}) as tracker:
        tracker.sync(20)
    assert "cannot be written (database or disk is full)" in caplog.text
    assert f"run: skelray sync {folder}" in caplog.text
    limits[0] = 10**9
    list(sync([folder]))
    assert steps(client, folder) == [10, 20]
    assert run_of(client, folder).info.status == "FINISHED"


def test_where_it_cannot_be_made(
    tmp_path: Path,
    config: RunConfig,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "file.db").mkdir()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'file.db'}")
    began = time.monotonic()
    with Tracker.open(tmp_path / "run", config=config, tags={}):
        pass
    assert time.monotonic() - began < 3
    assert "cannot be written (unable to open database file)" in caplog.text
