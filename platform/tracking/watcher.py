"""Follows a run folder while workers train: MLflow up to the newest checkpoint, a status line."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from skelray.platform.progress import progress_bar
from skelray.platform.tracking.tracker import Tracker
from skelray.platform.training import interruption
from skelray.platform.training.status import Status

# epoch, step, loss, speed and wait as the description; then percent, bar, and what is left
_LINE = "{desc} {percentage:3.0f}%|{bar:20}| {elapsed}<{remaining}"

_LOG = logging.getLogger(__name__)


class Watcher(threading.Thread):
    """A thread of the driver; use it as a context around the training.

    Records beyond the newest checkpoint wait: a restart would repeat them. Leaving the context, or
    `stop`, does a last round, so that nothing that was written before is missed.
    """

    def __init__(
        self,
        folder: Path,
        tracker: Tracker,
        *,
        interval: float = 1.0,
    ) -> None:
        """`interval`: seconds between looks."""
        super().__init__(name=f"watch {folder.name}", daemon=True)
        self._folder = folder
        self._checkpoints = folder / "checkpoints"
        self._tracker = tracker
        self._interval = interval
        self._shown: Status | None = Status.read(folder)  # of an earlier start
        self._end = threading.Event()
        self._error: Exception | None = None

    def run(self) -> None:
        """Polls until `stop`; what goes wrong is said at once and raised by `stop`."""
        bar = None
        try:
            while not self._end.wait(self._interval):
                bar = self._look(bar)
            bar = self._look(bar)
        except Exception as error:
            _LOG.error("tracking of %s has stopped: %s", self._folder, error)
            self._error = error
        finally:
            if bar is not None:
                bar.close()

    def stop(self) -> None:
        """Looks a last time and ends the thread; raises what went wrong in it."""
        self._end.set()
        if self.is_alive():
            self.join()
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.stop()
        except Exception:
            if kind is None:  # else the training's own failure is the one to report
                raise

    def _look(self, bar: Any) -> Any:
        """A round; returns the bar, a new one where another phase has begun."""
        if step := self._newest_checkpoint():
            self._tracker.sync(step)
        if interruption.asked(self._folder):
            # now, as whoever has asked may not wait for the end
            self._tracker.finish("KILLED")
        status = Status.read(self._folder)
        if status is None or status == self._shown:
            return bar
        if bar is None or self._shown is None or self._shown.phase != status.phase:
            bar = _new_bar(bar, status)
        self._shown = status
        bar.set_description(_line(status), refresh=False)
        bar.update(status.done - bar.n)  # less after a restart
        return bar

    def _newest_checkpoint(self) -> int:
        """Its step; 0 where there is none yet."""
        names = (path.name.removeprefix("step-") for path in self._checkpoints.glob("step-*"))
        return max((int(name) for name in names if name.isdecimal()), default=0)


def _new_bar(before: Any, status: Status) -> Any:
    if before is not None:
        before.close()
    bar = progress_bar(_line(status), status.steps * status.epochs, "steps", bar_format=_LINE)
    # what was done before this bar counts as done, not as speed
    bar.initial = bar.n = bar.last_print_n = status.done
    return bar


def _line(status: Status) -> str:
    return (
        f"{status.phase} epoch {status.epoch}/{status.epochs} step {status.step}/{status.steps} "
        f"loss {status.loss:.4g} {status.samples_per_s:.4g} samples/s "
        f"data wait {status.data_wait_pct:.1f}%"
    )
