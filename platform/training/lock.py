"""One process at a time works on a run's folder; the lock ends with its holder, however it ends."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from skelray.platform.errors import UsageError
from skelray.platform.paths import write_text

TRAINING = "training"  # the purpose of the worker that writes metrics and checkpoints
ORPHAN = 120.0  # seconds within which Ray ends the workers of a driver that was killed


@contextmanager
def only_one(folder: Path, what: str, *, patience: float = 0.0) -> Iterator[None]:
    """Holds `folder` for one purpose, `what`; UsageError where another process still does.

    `patience` is how many seconds to wait for that process to end: Ray ends the workers of a driver
    that was killed some seconds later.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock, holder = FileLock(folder / f".{what}.lock"), folder / f".{what}.holder"
    try:
        lock.acquire(timeout=patience)
    except Timeout:
        who = holder.read_text(encoding="utf-8") if holder.exists() else "another process"
        raise UsageError(
            f"run {folder.name} is under way ({what} in {who}): wait for it, or stop it first"
        ) from None
    try:
        name = f"process {os.getpid()} on {socket.gethostname()}"
        write_text(holder, name, durable=False)  # at once whole: others read it without the lock
        yield
    finally:
        lock.release()


def held(folder: Path, what: str) -> bool:
    """True where a process holds `folder` for `what` at this moment."""
    try:
        with FileLock(folder / f".{what}.lock", timeout=0):
            return False
    except Timeout:
        return True
