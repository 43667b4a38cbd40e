"""Follows a run folder while workers train: MLflow up to the newest checkpoint, a progress bar."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from skelray.platform.progress import progress_bar
from skelray.platform.tracking.tracker import Tracker
from skelray.platform.training.metrics import MetricsFile

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
        epochs: int,
        what: str = "pretraining",
        interval: float = 1.0,
    ) -> None:
        """`epochs` is the total over all phases, `interval` the seconds between looks."""
        super().__init__(name=f"watch {folder.name}", daemon=True)
        self._checkpoints = folder / "checkpoints"
        self._metrics = MetricsFile(folder / "metrics.jsonl")
        self._tracker = tracker
        self._epochs, self._what, self._interval = epochs, what, interval
        self._end = threading.Event()
        self._error: Exception | None = None

    def run(self) -> None:
        """Polls until `stop`; what goes wrong is said at once and raised by `stop`."""
        try:
            with progress_bar(self._what, self._epochs, "epochs") as bar:
                # what an earlier start has done counts as done, not as speed
                bar.initial = bar.n = bar.last_print_n = len(self._metrics.read())
                while not self._end.wait(self._interval):
                    self._look(bar)
                self._look(bar)
        except Exception as error:
            _LOG.error("tracking of %s has stopped: %s", self._metrics.path, error)
            self._error = error

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

    def _look(self, bar: Any) -> None:
        records = self._metrics.read()
        if step := self._newest_checkpoint():
            self._tracker.sync(step)
        if records:
            latest = records[-1]["metrics"]
            shown = {"loss": "train/loss", "samples/s": "perf/samples_per_s"}
            bar.set_postfix(
                {label: f"{latest[name]:.4g}" for label, name in shown.items() if name in latest},
                refresh=False,
            )
        bar.update(len(records) - bar.n)  # one record an epoch; fewer after a restart

    def _newest_checkpoint(self) -> int:
        """Its step; 0 where there is none yet."""
        names = (path.name.removeprefix("step-") for path in self._checkpoints.glob("step-*"))
        return max((int(name) for name in names if name.isdecimal()), default=0)
