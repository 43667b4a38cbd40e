"""Runs the scripts as a user does, and kills them as a machine does."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]
TINY = (
    "experiments/run.py",
    "skeletonclr",
    "synthetic",
    "data.size=tiny",
    "method.channels=4",
    "method.batch=8",
    "method.queue=16",
)

SKELRAY = ("-c", "from skelray.platform.cli import main; main()")  # the console script


def environment(home: Path) -> dict[str, str]:
    """The variables under which a script works below this home."""
    return {**os.environ, "SKELRAY_HOME": str(home), "PYTHONPATH": str(ROOT)}


def run(home: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Runs `experiments/…` to its end."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )


def run_and_kill(home: Path, *command: str, when: Callable[[], object]) -> None:
    """Starts a script and kills it with all it started in its group, without warning."""
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        env=environment(home),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_until(lambda: when() or process.poll() is not None)
    assert process.poll() is None, "it ended before it could be killed"
    kill(process, home)


def kill(process: subprocess.Popen[Any], home: Path, *, orphans: bool = False) -> None:
    """Kills a script with its group, or with `orphans` all it started; returns when all is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for number in _processes_of(home) if orphans else ():
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    process.wait()
    wait_until(lambda: not _processes_of(home))


def wait_until(condition: Callable[[], object]) -> None:
    """Returns when the condition holds; fails after five minutes."""
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _processes_of(home: Path) -> list[int]:
    """Processes that still work for this home: a killed driver's Ray workers end later."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("SKELRAY_HOME") == str(home):
                found.append(process.pid)
    return found
