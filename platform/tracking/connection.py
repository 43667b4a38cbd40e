"""Works on an MLflow run as long as its store answers; says once that it is away and goes on."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

from skelray.platform.tracking.mlflow_run import MlflowRun
from skelray.platform.tracking.probe import UNREACHABLE, reason

PAUSE = 30.0  # seconds before a store that was away is tried again
_SAMPLING = 10.0  # seconds between samples of CPU, memory, disk, network and GPUs

_LOG = logging.getLogger(__name__)
logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # it warns of every retry

Action = Callable[[MlflowRun], object]
"""Something to do with a run that is there; repeating it must be harmless."""


class Connection:
    """Reaches the run of a folder when it can. Calls from several threads are allowed."""

    def __init__(self, run: MlflowRun) -> None:
        self.run = run
        self.away = False
        self.lock = threading.RLock()
        self._connected = False
        self._closed = False
        self._try_again = 0.0
        self._monitor: SystemMetricsMonitor | None = None

    def attempt(self, action: Action, *, force: bool = False) -> None:
        """Runs `action` on the run.

        A store that is away is said once and left alone for a while, unless `force` asks for it.
        """
        with self.lock:
            if time.monotonic() < self._try_again and not force:
                return
            try:
                self._connect()
                action(self.run)
            except UNREACHABLE as error:
                self._lost(error)
            else:
                self.away, self._try_again = False, 0.0

    def close(self) -> None:
        """Stops the samples of the machine; later attempts start none."""
        with self.lock:
            self._closed = True
            self._stop_monitor()

    def _lost(self, error: Exception) -> None:
        if not self.away:
            _LOG.warning(
                "MLflow at %s cannot be written (%s): the run goes on and keeps its numbers in %s",
                *(self.run.uri, reason(error), self.run.folder),
            )
        self.away, self._connected = True, False
        self._try_again = time.monotonic() + PAUSE

    def _connect(self) -> None:
        if self._connected:
            return
        self.run.open()
        self.run.push_status()
        self.run.describe()
        self._stop_monitor()  # it ended by itself when the store was away
        if not self._closed:
            self._start_monitor()
        self._connected = True

    def _start_monitor(self) -> None:
        """Samples the driver's machine as `system/…`; steps go on where earlier samples end.

        GPUs are seen where `nvidia-ml-py` is installed.
        """
        self._monitor = SystemMetricsMonitor(
            self.run.stored.run_id,
            sampling_interval=_SAMPLING,
            resume_logging=True,
            tracking_uri=self.run.uri,
        )
        self._monitor.start()

    def _stop_monitor(self) -> None:
        if self._monitor is not None:
            self._monitor.finish()
            self._monitor = None
