"""One MLflow run per training run, written by the driver alone from what lies in the run folder.

`metrics.jsonl` (written by rank 0) and `evaluations.jsonl` (written here) are the source; MLflow is
filled from them and `run.json` keeps how far. So a store that is away costs nothing but a warning:
the next call that reaches it, in this process, after a restart or by `skelray sync`, brings what is
missing.
"""

from __future__ import annotations

import contextlib
import logging
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from skelray.platform.config import RunConfig
from skelray.platform.method import Method
from skelray.platform.tracking import description
from skelray.platform.tracking.connection import Connection
from skelray.platform.tracking.guardian import Guardian
from skelray.platform.tracking.logged_model import push_model
from skelray.platform.tracking.mlflow_run import EVALUATIONS, MlflowRun, read_records
from skelray.platform.tracking.run_file import RunFile, Status
from skelray.platform.training.checkpoint import Checkpoint
from skelray.platform.training.metrics import MetricsFile

_LOG = logging.getLogger(__name__)


class Tracker:
    """The MLflow run of one run folder. Calls from several threads are allowed.

    Used as a context it always sets the run's final status: FINISHED, KILLED where the run was
    interrupted (KeyboardInterrupt, SystemExit), FAILED after any other exception. Where the process
    itself is killed, its guardian does.
    """

    def __init__(self, run: MlflowRun, guardian: Guardian, before: Status | None = None) -> None:
        self._run, self._guardian, self._before = run, guardian, before
        self._connection = Connection(run)
        self._up_to = -1
        self._model: tuple[Checkpoint, Method] | None = None

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        config: RunConfig,
        tags: Mapping[str, str],
        keep_status: bool = False,
    ) -> Self:
        """Creates the run, or goes on with the one that `<folder>/run.json` names.

        Writes config.yaml, environment.json and run.json. The run's name holds the start of the run
        id, for which the tag `data_version` is needed. `keep_status` is for work that does not
        decide how the run has ended, such as another evaluation.
        """
        before = RunFile.status_of(folder) if keep_status else None
        description.write_files(folder, config)
        run = MlflowRun(folder, RunFile.start(folder, description.describe(config, tags)))
        tracker = cls(run, Guardian(folder), before)
        try:
            tracker._connection.attempt(tracker._push)
        except BaseException:
            tracker.finish("FAILED")
            raise
        return tracker

    @property
    def run_id(self) -> str | None:
        """MLflow's id of the run; None while the store has not been reached."""
        return self._run.stored.run_id or None

    def sync(self, up_to: int) -> None:
        """Brings what MLflow lacks of metrics.jsonl up to step `up_to`, and of the evaluations."""
        with self._connection.lock:
            self._up_to = max(self._up_to, up_to)
        self._connection.attempt(self._push)

    def log_evaluation(
        self, step: int, figures: Mapping[str, float], pictures: Sequence[Path] = ()
    ) -> None:
        """Logs figures of the checkpoint of `step` and uploads pictures, each once."""
        self._record(step, figures, pictures)
        self._connection.attempt(self._push)

    def log_model(
        self, method: Method, checkpoint: Checkpoint, figures: Mapping[str, float]
    ) -> None:
        """Lists the checkpoint among MLflow's models, with its weights and with its figures.

        `skelray.platform.tracking.model.load_model` loads it again. Another call for the same
        checkpoint only completes what is missing.
        """
        self._record(checkpoint.step, figures, ())
        with self._connection.lock:
            self._model = checkpoint, method
        self._connection.attempt(self._push, force=True)

    def finish(self, status: Status) -> None:
        """Sets the final status, or the one to be kept; the first call counts.

        It may come from another thread before the work has ended: what is logged later is brought
        all the same and leaves the status as it is.
        """
        with self._connection.lock:
            if self._run.file.status != "RUNNING":
                return
            self._run.file.end(self._before or status)
            with contextlib.suppress(OSError):  # a full disk: MLflow can still be told
                self._run.keep()
        self._connection.close()
        self._connection.attempt(self._push, force=True)
        if self._connection.away:
            _LOG.warning(
                "MLflow at %s lacks part of this run; when it is back, run: skelray sync %s",
                *(self._run.uri, shlex.quote(str(self._run.folder))),
            )
        self._guardian.dismiss()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.finish("FINISHED")
        elif issubclass(kind, (KeyboardInterrupt, SystemExit)):
            self.finish("KILLED")
        else:
            self.finish("FAILED")

    def _push(self, run: MlflowRun) -> None:
        """Brings all that is missing, also what earlier calls could not bring."""
        run.push_status()  # first: it must be set even where something else is refused
        run.push_metrics(self._up_to)
        run.push_evaluations()
        if self._model is not None:
            push_model(run, *self._model)

    def _record(self, step: int, figures: Mapping[str, float], pictures: Sequence[Path]) -> None:
        """Appends what is new of an evaluation to evaluations.jsonl: a figure once per step."""
        file = self._run.folder / EVALUATIONS
        with self._connection.lock:
            known = [record for record in read_records(file) if record.step == step]
            values = {name: value for record in known for name, value in record.metrics.items()}
            shown = {name for record in known for name in record.pictures}
            for name in figures.keys() & values.keys():
                if figures[name] != values[name]:
                    _LOG.warning(
                        "%s at step %d was %g before and is %g now: MLflow keeps the first",
                        *(name, step, values[name], figures[name]),
                    )
            new = {name: value for name, value in figures.items() if name not in values}
            names = [name for name in map(self._relative, pictures) if name not in shown]
            if new or names:
                MetricsFile(file).append(step, new, pictures=names)

    def _relative(self, picture: Path) -> str:
        """As it is found again when the folder has been moved: `--fresh` sets runs aside."""
        folder = self._run.folder
        return str(picture.relative_to(folder) if picture.is_relative_to(folder) else picture)
