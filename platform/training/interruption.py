"""The wish to stop: signals to the driver, a file for the workers, nodes that are taken away."""

from __future__ import annotations

import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

_STOP = ".stop"  # in the run's folder, which driver and workers share


class Interruption:
    """Remembers the first SIGTERM or SIGINT in a `with`; the second ends the process at once.

    Only the main thread hears signals; elsewhere (a trial) nothing is ever asked.
    """

    def __init__(self, grace: float) -> None:
        """`grace`: seconds from the first signal until `overdue`."""
        self.signal: int | None = None
        self._grace = grace
        self._since = 0.0
        self._before: dict[int, Any] = {}

    @property
    def asked(self) -> bool:
        """True after a signal."""
        return self.signal is not None

    @property
    def overdue(self) -> bool:
        """True where the time for an orderly end is over."""
        return self.asked and time.monotonic() > self._since + self._grace

    def end(self) -> None:
        """After a signal, what it would have done: KeyboardInterrupt, or SystemExit 143."""
        if self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        if self.signal is not None:
            sys.exit(128 + self.signal)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        again, self.signal = self.asked, number
        if again:
            self.end()
        self._since = time.monotonic()

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def ask(folder: Path) -> None:
    """Tells the workers of the run in `folder` to write a checkpoint and return."""
    (folder / _STOP).touch()


def withdraw(folder: Path) -> None:
    """Forgets what an earlier start was asked."""
    (folder / _STOP).unlink(missing_ok=True)


def asked(folder: Path) -> bool:
    """True where the run's workers should return."""
    return (folder / _STOP).exists()
