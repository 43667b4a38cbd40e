"""One MLflow run per training run, written by the driver alone from what lies in the run folder.

`metrics.jsonl` (written by rank 0) and `evaluations.jsonl` (written here) are the source; MLflow is
filled from them and `run.json` keeps how far. So a store that is away costs nothing but a warning:
the next call that reaches it, in this process or after a restart, brings what is missing.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput, LoggedModelStatus, Metric
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE
from mlflow.utils.validation import MAX_METRICS_PER_BATCH

from skelray.platform.config import RunConfig
from skelray.platform.method import Method
from skelray.platform.tracking import description
from skelray.platform.tracking.connection import Connection
from skelray.platform.tracking.model import MODEL_TYPE, write_model
from skelray.platform.training.checkpoint import Checkpoint
from skelray.platform.training.metrics import MetricsFile

Status = Literal["FINISHED", "FAILED", "KILLED"]
Record = Mapping[str, Any]

_LOG = logging.getLogger(__name__)


class Tracker:
    """The MLflow run of one run folder. Calls from several threads are allowed.

    Used as a context it always sets the run's final status: FINISHED, KILLED where the run was
    interrupted (KeyboardInterrupt, SystemExit), FAILED after any other exception.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._metrics = MetricsFile(connection.folder / "metrics.jsonl")
        self._evaluations = MetricsFile(connection.folder / "evaluations.jsonl")
        self._finished = False

    @classmethod
    def open(cls, folder: Path, *, config: RunConfig, tags: Mapping[str, str]) -> Self:
        """Creates the run, or goes on with the one that `<folder>/run.json` names.

        The run's name holds the start of the run id, for which the tag `data_version` is needed.
        """
        tracker = cls(Connection(folder, config, tags))
        tracker._connection.attempt(tracker._push_evaluations)
        return tracker

    @property
    def run_id(self) -> str | None:
        """MLflow's id of the run; None while the store has not been reached."""
        return self._connection.notes.run_id or None

    def sync(self, up_to: int) -> None:
        """Brings what MLflow lacks of metrics.jsonl up to step `up_to`, and of the evaluations."""

        def push(client: MlflowClient, run_id: str) -> None:
            self._push_metrics(client, run_id, up_to)
            self._push_evaluations(client, run_id)

        self._connection.attempt(push)

    def log_evaluation(
        self, step: int, figures: Mapping[str, float], pictures: Sequence[Path] = ()
    ) -> None:
        """Logs figures of the checkpoint of `step` and uploads pictures, each once."""
        self._record(step, figures, pictures)
        self._connection.attempt(self._push_evaluations)

    def log_model(
        self, method: Method, checkpoint: Checkpoint, figures: Mapping[str, float]
    ) -> None:
        """Lists the checkpoint among MLflow's models, with its weights and with `figures` attached.

        `skelray.platform.tracking.model.load_model` loads it again. Another call for the same
        checkpoint only completes what is missing.
        """
        self._record(checkpoint.step, figures, ())

        def push(client: MlflowClient, run_id: str) -> None:
            self._push_evaluations(client, run_id)
            model_id = self._push_model(client, run_id, method, checkpoint)
            records = [r for r in self._evaluations.read() if r["step"] == checkpoint.step]
            _log(client, run_id, _points(records, model_id=model_id, names=set(figures)))

        self._connection.attempt(push, force=True)

    def finish(self, status: Status) -> None:
        """Sets the final status; the first call counts."""
        if self._finished:
            return
        self._finished = True
        self._connection.close()

        def push(client: MlflowClient, run_id: str) -> None:
            self._push_evaluations(client, run_id)
            client.set_terminated(run_id, status)

        self._connection.attempt(push, force=True)
        if self._connection.away:
            _LOG.warning(
                "MLflow at %s lacks part of this run: give the same command again when it is back",
                self._connection.uri,
            )

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

    def _record(self, step: int, figures: Mapping[str, float], pictures: Sequence[Path]) -> None:
        """Appends what is new of an evaluation to evaluations.jsonl: a figure once per step."""
        with self._connection.lock:
            known = [record for record in self._evaluations.read() if record["step"] == step]
            values = {k: v for record in known for k, v in record["metrics"].items()}
            shown = {name for record in known for name in record["pictures"]}
            for name in figures.keys() & values.keys():
                if figures[name] != values[name]:
                    _LOG.warning(
                        "%s at step %d was %g before and is %g now: MLflow keeps the first",
                        *(name, step, values[name], figures[name]),
                    )
            new = {name: value for name, value in figures.items() if name not in values}
            paths = [str(path) for path in pictures if str(path) not in shown]
            if new or paths:
                self._evaluations.append(step, new, pictures=paths)

    def _push_metrics(self, client: MlflowClient, run_id: str, up_to: int) -> None:
        notes = self._connection.notes
        records = [r for r in self._metrics.read() if notes.metrics_step < r["step"] <= up_to]
        if records:
            _log(client, run_id, _points(records))
            notes.metrics_step = max(record["step"] for record in records)
            self._connection.keep()

    def _push_evaluations(self, client: MlflowClient, run_id: str) -> None:
        notes = self._connection.notes
        records = self._evaluations.read()
        new = records[notes.evaluations :]
        _log(client, run_id, _points(new))
        for step in {record["step"] for record in new}:
            figures: dict[str, float] = {}
            for record in records:
                if record["step"] == step:
                    figures |= record["metrics"]
            client.log_dict(run_id, figures, f"evaluations/step-{step:08d}.json")
        for record in new:
            for path in filter(Path.exists, map(Path, record["pictures"])):
                client.log_artifact(run_id, str(path), f"pictures/step-{record['step']:08d}")
        if new:
            notes.evaluations = len(records)
            self._connection.keep()

    def _push_model(
        self, client: MlflowClient, run_id: str, method: Method, checkpoint: Checkpoint
    ) -> str:
        """The model's id; creates, fills and finalises the model where that is still to be done."""
        connection = self._connection
        known = connection.notes.models
        if checkpoint.path.name not in known:
            name = description.run_name(connection.config, connection.tags)
            created = client.create_logged_model(
                client.get_run(run_id).info.experiment_id,
                name=f"{name}-step{checkpoint.step}",
                source_run_id=run_id,
                tags=description.all_tags(connection.config, connection.tags),
                params=description.parameters(connection.config),
                model_type=MODEL_TYPE,
            )
            known[checkpoint.path.name] = created.model_id
            connection.keep()
        model_id = known[checkpoint.path.name]
        if client.get_logged_model(model_id).status is not LoggedModelStatus.READY:
            with tempfile.TemporaryDirectory() as folder:
                readme = write_model(
                    Path(folder), method, checkpoint, model_id=model_id, run_id=run_id
                )
                client.log_model_artifacts(model_id, folder)
            client.set_logged_model_tags(model_id, {MLFLOW_RUN_NOTE: readme})
            client.log_outputs(run_id, [LoggedModelOutput(model_id, checkpoint.step)])
            client.finalize_logged_model(model_id, LoggedModelStatus.READY)
        return model_id


def _points(
    records: Iterable[Record], *, model_id: str | None = None, names: set[str] | None = None
) -> list[Metric]:
    """One point per figure with its record's own time: MLflow stores an equal point only once."""
    return [
        Metric(name, value, round(1000 * record["time"]), record["step"], model_id=model_id)
        for record in records
        for name, value in record["metrics"].items()
        if names is None or name in names
    ]


def _log(client: MlflowClient, run_id: str, points: Sequence[Metric]) -> None:
    for start in range(0, len(points), MAX_METRICS_PER_BATCH):
        client.log_batch(run_id, metrics=points[start : start + MAX_METRICS_PER_BATCH])
