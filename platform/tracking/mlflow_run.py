"""An MLflow run, filled from its run folder. Each step may be repeated: none makes a duplicate."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.validation import MAX_METRICS_PER_BATCH, MAX_PARAMS_TAGS_PER_BATCH
from pydantic import BaseModel, ValidationError

from skelray.platform.errors import DataError
from skelray.platform.tracking import store
from skelray.platform.tracking.probe import probe
from skelray.platform.tracking.run_file import CONFIG, ENVIRONMENT, RunFile, Stored
from skelray.platform.training.metrics import MetricsFile

METRICS, EVALUATIONS = "metrics.jsonl", "evaluations.jsonl"
_KEY = "run_key"  # the tag by which the run of a folder is found again


class Record(BaseModel):
    """A line of metrics.jsonl or evaluations.jsonl."""

    step: int
    time: float  # seconds since 1970
    metrics: dict[str, float]
    pictures: list[str] = []  # relative to the run's folder; at ends of epochs `…-step-….png`


def read_records(path: Path) -> list[Record]:
    """The records of a file, none where there is no file; DataError where it is damaged."""
    try:
        return [Record.model_validate(record) for record in MetricsFile(path).read()]
    except (ValidationError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise DataError(f"{path} is damaged ({reason}): remove the lines that are") from None


class MlflowRun:
    """The run of one folder in the store that is configured; see `probe` for what is raised.

    What the folder has and the store has not is brought by `open`, `describe` and the `push_…`
    methods. `run.json` keeps how far, written after each of them.
    """

    def __init__(self, folder: Path, file: RunFile) -> None:
        self.folder, self.file = folder, file
        self.uri = store.tracking_uri()
        self.stored = file.stores.setdefault(self.uri, Stored())
        self._status = ""  # what MLflow says

    @cached_property
    def client(self) -> MlflowClient:
        """Reaches the store; for databases it opens, and if need be creates, them."""
        return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    def keep(self) -> None:
        """Writes `run.json`."""
        self.file.write(self.folder)

    def open(self) -> bool:
        """Finds the run or creates it: there is none yet, or the store has lost it; True if new."""
        probe(self.uri)
        if self.find():
            return False
        created = self.client.create_run(
            self._experiment_id(),
            run_name=self.file.about.name,
            tags={_KEY: self.file.key},
            start_time=_milliseconds(self.file.began),
        )
        self._adopt(created)
        self.keep()
        return True

    def find(self) -> bool:
        """True where the store has the run.

        It is looked for by its id and, as a kill may have come before the id was kept, by its key.
        """
        found = self._by_id() or self._by_key()
        if found is None:
            return False
        self._adopt(found)
        return True

    @property
    def is_running(self) -> bool:
        """True where MLflow says so, as far as is known since `open` or `find`."""
        return self._status == "RUNNING"

    def describe(self) -> bool:
        """Brings parameters, tags and files of this start; True where that was still to be done.

        MLflow's parameters cannot change: what differs after a restart (workers, evaluations;
        nothing that decides the weights) shows in config.yaml alone.
        """
        if self.stored.described:
            return False
        known = self.client.get_run(self.stored.run_id).data.params
        about = self.file.about
        entries: list[Param | RunTag] = [
            *(Param(key, value) for key, value in about.params.items() if key not in known),
            *(RunTag(key, value) for key, value in about.tags.items()),
        ]
        for start in range(0, len(entries), MAX_PARAMS_TAGS_PER_BATCH):
            part = entries[start : start + MAX_PARAMS_TAGS_PER_BATCH]
            self.client.log_batch(
                self.stored.run_id,
                params=[entry for entry in part if isinstance(entry, Param)],
                tags=[entry for entry in part if isinstance(entry, RunTag)],
            )
        for name in (CONFIG, ENVIRONMENT):
            self.client.log_artifact(self.stored.run_id, str(self.folder / name))
        self.stored.described = True
        self.keep()
        return True

    def push_status(self) -> bool:
        """Tells how the run stands; True where MLflow said otherwise."""
        status, ended = self.file.status, self.file.ended
        if status == self._status:
            return False
        if ended is None:
            self.client.update_run(self.stored.run_id, status=status)
        else:
            self.client.set_terminated(self.stored.run_id, status, _milliseconds(ended))
        self._status = status
        return True

    def push_metrics(self, up_to: int) -> list[Record]:
        """Brings what is missing of metrics.jsonl up to step `up_to`, with pictures; returns it."""
        if up_to <= self.stored.metrics_step:
            return []
        records = read_records(self.folder / METRICS)
        new = [record for record in records if self.stored.metrics_step < record.step <= up_to]
        if new:
            self.log(points(new))
            self._push_images(new)
            self.stored.metrics_step = max(record.step for record in new)
            self.keep()
        return new

    def push_evaluations(self) -> list[Record]:
        """Brings what is missing of evaluations.jsonl, with pictures; returns it."""
        records = read_records(self.folder / EVALUATIONS)
        new = records[self.stored.evaluations :]
        self.log(points(new))
        run_id = self.stored.run_id
        for step in {record.step for record in new}:
            figures: dict[str, float] = {}
            for record in records:
                if record.step == step:
                    figures |= record.metrics
            self.client.log_dict(run_id, figures, f"evaluations/step-{step:08d}.json")
        for record in new:
            for path in filter(Path.exists, (self.folder / name for name in record.pictures)):
                self.client.log_artifact(run_id, str(path), f"pictures/step-{record.step:08d}")
        if new:
            self.stored.evaluations = len(records)
            self.keep()
        return new

    def _push_images(self, records: Sequence[Record]) -> None:
        """Pictures of a training run, by step: MLflow shows them as one that can be played."""
        if not any(record.pictures for record in records):
            return
        run_id = self.stored.run_id
        names = (Path(found.path).name for found in self.client.list_artifacts(run_id, "images"))
        there = {tuple(re.split("[+%]", name)[:3]) for name in names}  # key, "step", step, …
        for record in records:
            for path in filter(Path.exists, (self.folder / name for name in record.pictures)):
                key = path.stem.rpartition("-step-")[0]
                if (key, "step", str(record.step)) not in there:
                    self.client.log_image(
                        run_id,
                        mlflow.Image(os.fspath(path)),
                        key=key,
                        step=record.step,
                        timestamp=_milliseconds(record.time),
                    )

    def log(self, metrics: Sequence[Metric]) -> None:
        """Logs points, in as many requests as MLflow wants."""
        for start in range(0, len(metrics), MAX_METRICS_PER_BATCH):
            part = metrics[start : start + MAX_METRICS_PER_BATCH]
            self.client.log_batch(self.stored.run_id, metrics=part)

    def _adopt(self, run: Run) -> None:
        if run.info.run_id != self.stored.run_id:
            self.stored = Stored(experiment_id=run.info.experiment_id, run_id=run.info.run_id)
            self.file.stores[self.uri] = self.stored
        self._status = run.info.status

    def _by_id(self) -> Run | None:
        """None where no id is known, the store has lost the run or somebody has deleted it."""
        if not self.stored.run_id:
            return None
        try:
            run = self.client.get_run(self.stored.run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None
        return run if run.info.lifecycle_stage == "active" else None

    def _by_key(self) -> Run | None:
        experiment = self.client.get_experiment_by_name(self.file.about.experiment)
        if experiment is None:
            return None
        wanted = f"tags.{_KEY} = '{self.file.key}'"
        found = self.client.search_runs([experiment.experiment_id], wanted, max_results=1)
        return found[0] if found else None

    def _experiment_id(self) -> str:
        name = self.file.about.experiment
        found = self.client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(self.client.create_experiment(name, store.artifact_location(name)))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                found = self.client.get_experiment_by_name(name)  # another run was faster
        assert found is not None
        return str(found.experiment_id)


def points(records: Iterable[Record], *, model_id: str | None = None) -> list[Metric]:
    """One point per figure with its record's own time: MLflow stores an equal point only once."""
    return [
        Metric(name, value, _milliseconds(record.time), record.step, model_id=model_id)
        for record in records
        for name, value in record.metrics.items()
    ]


def _milliseconds(seconds: float) -> int:
    return round(1000 * seconds)
