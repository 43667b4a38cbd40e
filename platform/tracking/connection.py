"""Reaches a run's MLflow store, or says once that it is away and lets the work go on."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor
from sqlalchemy.exc import SQLAlchemyError

from skelray.platform.config import RunConfig
from skelray.platform.tracking import description, store
from skelray.platform.tracking.notes import Notes

# What MLflow raises when its store is away, locked or full; failed requests are OSErrors.
UNREACHABLE = (MlflowException, SQLAlchemyError, OSError)
PAUSE = 30.0  # seconds before a store that was away is tried again
_SAMPLING = 10.0  # seconds between samples of CPU, memory, disk, network and GPUs

_LOG = logging.getLogger(__name__)
logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # it warns of every retry

Action = Callable[[MlflowClient, str], object]
"""Something to do with a client on the run of an id; repeating it must be harmless."""


class Connection:
    """One MLflow run, created when it is first reached and found again by `<folder>/run.json`."""

    def __init__(self, folder: Path, config: RunConfig, tags: Mapping[str, str]) -> None:
        self.config = config
        self.tags = dict(tags)
        self.folder = folder
        self.uri = store.tracking_uri()
        self.notes = Notes.read(folder / "run.json", self.uri)
        self.away = False
        self.lock = threading.RLock()
        self._client = MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
        self._connected = False
        self._closed = False
        self._try_again = 0.0
        self._monitor: SystemMetricsMonitor | None = None

    def keep(self) -> None:
        """Writes the notes."""
        self.notes.write(self.folder / "run.json", self.uri)

    def attempt(self, action: Action, *, force: bool = False) -> None:
        """Runs `action` on the run.

        A store that is away is said once and left alone for a while, unless `force` asks for it.
        """
        with self.lock:
            if time.monotonic() < self._try_again and not force:
                return
            try:
                self._connect()
                action(self._client, self.notes.run_id)
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
            reason = " ".join(str(error).split())[:200]
            _LOG.warning(
                "MLflow at %s cannot be written, the run goes on and keeps its numbers in %s: %s",
                self.uri,
                self.folder,
                reason,
            )
        self.away, self._connected = True, False
        self._try_again = time.monotonic() + PAUSE

    def _connect(self) -> None:
        if self._connected:
            return
        if not self._exists():
            self.notes = Notes(run_id=self._create())
            self.keep()
        run_id = self.notes.run_id
        self._client.update_run(run_id, status="RUNNING")
        description.describe(self._client, run_id, self.config, self.tags)
        self._stop_monitor()  # it ended by itself when the store was away
        if not self._closed:
            self._start_monitor()
        self._connected = True

    def _exists(self) -> bool:
        """False where there is no run yet, the store has lost it or somebody has deleted it."""
        if not self.notes.run_id:
            return False
        try:
            run = self._client.get_run(self.notes.run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return False
        return str(run.info.lifecycle_stage) == "active"

    def _create(self) -> str:
        experiment = description.experiment_id(self._client, self.config)
        name = description.run_name(self.config, self.tags)
        return str(self._client.create_run(experiment, run_name=name).info.run_id)

    def _start_monitor(self) -> None:
        """Samples the driver's machine as `system/…`; steps go on where earlier samples end.

        GPUs are seen where `nvidia-ml-py` is installed.
        """
        self._monitor = SystemMetricsMonitor(
            self.notes.run_id,
            sampling_interval=_SAMPLING,
            resume_logging=True,
            tracking_uri=self.uri,
        )
        self._monitor.start()

    def _stop_monitor(self) -> None:
        if self._monitor is not None:
            self._monitor.finish()
            self._monitor = None
