"""Runs whose process is killed: their status in MLflow, and the process that sets it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient

from skelray.platform.config import RunConfig
from skelray.platform.tracking.guardian import Guardian, set_status
from skelray.platform.tracking.run_file import RunFile
from skelray.platform.tracking.tracker import Tracker
from skelray.platform.training.lock import only_one

REPOSITORY = Path(__file__).resolve().parents[3]


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it did not happen within {seconds} seconds"
        time.sleep(0.02)


def guardians(folder: Path) -> list[psutil.Process]:
    """Processes that wait for the end of the folder's run."""
    arguments = ["-m", "skelray.platform.tracking.guardian", str(folder)]
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if (process.info["cmdline"] or [])[-3:] == arguments:
            found.append(process)
    return found


def drive(folder: Path, how: str) -> subprocess.Popen[bytes]:
    """Starts drivers.py, in a group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.platform.tracking.drivers", str(folder), how],
        cwd=REPOSITORY,
        start_new_session=True,
    )


def run_id_of(folder: Path) -> str:
    (stored,) = RunFile.read(folder).stores.values()
    return stored.run_id


def test_a_killed_run_says_so(client: MlflowClient, tmp_path: Path) -> None:
    process = drive(tmp_path, "waiting")
    until(lambda: (tmp_path / "ready").exists() or process.poll() is not None)
    assert len(guardians(tmp_path)) == 1
    run_id = run_id_of(tmp_path)
    assert client.get_run(run_id).info.status == "RUNNING"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    until(lambda: client.get_run(run_id).info.status == "KILLED")
    assert client.get_run(run_id).info.end_time is not None
    until(lambda: not guardians(tmp_path))


def test_a_process_that_ends_without_a_word_was_killed_too(
    client: MlflowClient, tmp_path: Path
) -> None:
    assert drive(tmp_path, "exiting").wait() == 1
    run_id = run_id_of(tmp_path)
    until(lambda: client.get_run(run_id).info.status == "KILLED")
    until(lambda: not guardians(tmp_path))


def test_a_kill_before_the_id_is_kept_leaves_no_second_run(
    client: MlflowClient, tmp_path: Path, config: RunConfig
) -> None:
    assert drive(tmp_path, "creating").wait() == -signal.SIGKILL
    file = RunFile.read(tmp_path)
    assert [stored for stored in file.stores.values() if stored.run_id] == []
    experiment = client.get_experiment_by_name("synthetic_xsub")
    assert experiment is not None
    wanted = f"tags.run_key = '{file.key}'"
    (orphan,) = client.search_runs([experiment.experiment_id], wanted)
    until(lambda: client.get_run(orphan.info.run_id).info.status == "KILLED")
    with Tracker.open(tmp_path, config=config, tags={}) as tracker:
        assert tracker.run_id == orphan.info.run_id
        assert client.get_run(tracker.run_id).info.status == "RUNNING"
    (run,) = client.search_runs([experiment.experiment_id], wanted)
    assert run.info.status == "FINISHED"


@pytest.mark.parametrize("at_work", [True, False])
def test_another_process_at_work_is_left_alone(
    at_work: bool, client: MlflowClient, tmp_path: Path, config: RunConfig
) -> None:
    tracker = Tracker.open(tmp_path, config=config, tags={})
    assert tracker.run_id is not None
    if at_work:
        with only_one(tmp_path, "run"):
            set_status(tmp_path)
    else:
        set_status(tmp_path)
    expected = "RUNNING" if at_work else "KILLED"
    assert client.get_run(tracker.run_id).info.status == expected
    tracker.finish("FINISHED")


def test_status_that_the_run_has_given_itself_counts(
    client: MlflowClient, tmp_path: Path, config: RunConfig
) -> None:
    with Tracker.open(tmp_path, config=config, tags={}) as tracker:
        pass
    assert tracker.run_id is not None
    ended = client.get_run(tracker.run_id).info.end_time
    set_status(tmp_path)
    assert client.get_run(tracker.run_id).info.status == "FINISHED"

    client.update_run(tracker.run_id, status="RUNNING")  # killed on the way to tell MLflow
    set_status(tmp_path)
    run = client.get_run(tracker.run_id)
    assert (run.info.status, run.info.end_time) == ("FINISHED", ended)


def test_the_guardian_is_cheap_and_apart_and_leaves_when_dismissed(tmp_path: Path) -> None:
    guardian = Guardian(tmp_path)
    until(lambda: [p for p in guardians(tmp_path) if p.ppid() != os.getpid()])
    (process,) = [p for p in guardians(tmp_path) if p.ppid() != os.getpid()]
    assert process not in psutil.Process().children(recursive=True)
    assert os.getsid(process.pid) != os.getsid(0) and os.getpgid(process.pid) != os.getpgid(0)
    assert process.terminal() is None
    loaded = Path(f"/proc/{process.pid}/maps").read_text()
    assert not [name for name in ("torch", "numpy", "sqlalchemy", "pyarrow") if name in loaded]
    open_files = {fd.name: str(fd.readlink()) for fd in Path(f"/proc/{process.pid}/fd").iterdir()}
    assert open_files["1"] == open_files["2"] == "/dev/null"
    assert open_files.pop("0").startswith("pipe:")
    assert not [target for target in open_files.values() if target != "/dev/null"]
    guardian.dismiss()
    until(lambda: not guardians(tmp_path), seconds=2)


def test_a_guardian_that_somebody_has_ended_is_not_missed(tmp_path: Path) -> None:
    guardian = Guardian(tmp_path)
    until(lambda: [p for p in guardians(tmp_path) if p.ppid() != os.getpid()])
    for process in guardians(tmp_path):
        process.kill()
    until(lambda: not guardians(tmp_path))
    guardian.dismiss()
