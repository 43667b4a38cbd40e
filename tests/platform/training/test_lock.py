"""The lock of a run's folder: one holder, named to the others, gone with its process."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from skelray.platform.errors import UsageError
from skelray.platform.training.lock import only_one


def hold(folder: Path, held: Event) -> None:
    with only_one(folder, "run"):
        held.set()
        time.sleep(60)


def test_the_second_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    held = context.Event()
    first = context.Process(target=hold, args=(tmp_path / "some-run", held))
    first.start()
    assert held.wait(30)
    with (
        pytest.raises(UsageError, match=rf"run some-run is .* \(run in process {first.pid} on"),
        only_one(tmp_path / "some-run", "run"),
    ):
        pass
    with only_one(tmp_path / "some-run", "training-0"), only_one(tmp_path / "other-run", "run"):
        pass  # another purpose, another run
    assert first.pid is not None
    os.kill(first.pid, signal.SIGKILL)
    with only_one(tmp_path / "some-run", "run", patience=30):
        pass  # the lock ended with its holder
    first.join()


def come_and_go(folder: Path) -> None:
    for _ in range(500):
        with only_one(folder, "run"):
            pass


def test_the_holder_is_named_whole_at_every_moment(tmp_path: Path) -> None:
    with only_one(tmp_path, "run"):
        pass
    process = multiprocessing.get_context("fork").Process(target=come_and_go, args=(tmp_path,))
    process.start()
    seen = set()
    while process.is_alive():
        seen.add((tmp_path / ".run.holder").read_text(encoding="utf-8").split(" on ")[0])
    process.join()
    assert process.exitcode == 0
    assert seen <= {f"process {os.getpid()}", f"process {process.pid}"}
    assert f"process {process.pid}" in seen


def test_an_error_inside_lets_go(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="oops"), only_one(tmp_path, "run"):
        raise ValueError("oops")
    with only_one(tmp_path, "run"):
        pass
