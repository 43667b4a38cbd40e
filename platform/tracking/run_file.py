"""`run.json` in a run's folder: what the run is, how it stands, what each MLflow store has of it.

All that MLflow is told lies in the run's folder first. So a store that was away, or has been lost,
is filled from the folder alone, and a run whose process was killed can still be told from one that
has ended.
"""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, Field, ValidationError

from skelray.platform import paths
from skelray.platform.errors import DataError

CONFIG, ENVIRONMENT = "config.yaml", "environment.json"  # they go to MLflow as they are

Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]


class Description(BaseModel):
    """The run in MLflow's terms."""

    experiment: str
    name: str
    params: dict[str, str]
    tags: dict[str, str]


class Stored(BaseModel):
    """What one store has of the run."""

    experiment_id: str = ""
    run_id: str = ""  # empty: not known to be created yet
    described: bool = False  # parameters, tags and files of this start are there
    metrics_step: int = -1  # records of metrics.jsonl up to this step are there
    evaluations: int = 0  # so many records of evaluations.jsonl are there
    models: dict[str, int] = {}  # model's name -> how many records are attached to it


class RunFile(BaseModel):
    """The content of `run.json`; one process at a time writes it, who holds the lock "run"."""

    about: Description
    key: str = Field(default_factory=lambda: uuid.uuid4().hex)  # a tag of the run in MLflow
    status: Status = "RUNNING"
    began: float = Field(default_factory=time.time)  # seconds since 1970, as all times here
    ended: float | None = None
    stores: dict[str, Stored] = {}  # by address

    @classmethod
    def start(cls, folder: Path, about: Description) -> Self:
        """The file of a run that starts, or goes on, in `folder`; written."""
        file = cls.read(folder) if _path(folder).exists() else cls(about=about)
        file.about, file.status, file.ended = about, "RUNNING", None
        for stored in file.stores.values():
            stored.described = False
        file.write(folder)
        return file

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The file of the run in `folder`; DataError where it is missing or damaged."""
        path = _path(folder)
        if not path.exists():
            raise DataError(f"{folder} holds no run: {path.name} is missing")
        try:
            return cls.model_validate_json(path.read_bytes())
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise DataError(
                f"{path} is damaged ({reason}): delete it, and the run's command makes it anew"
            ) from None

    @classmethod
    def status_of(cls, folder: Path) -> Status | None:
        """How the run in `folder` has ended; None for a new one. KILLED where nothing says so."""
        if not _path(folder).exists():
            return None
        status = cls.read(folder).status
        return "KILLED" if status == "RUNNING" else status

    def write(self, folder: Path) -> None:
        """Keeps it, atomically."""
        paths.write_text(_path(folder), self.model_dump_json(indent=2) + "\n")

    def end(self, status: Status, at: float | None = None) -> None:
        """The run has ended, now or `at` that time."""
        self.status, self.ended = status, time.time() if at is None else at


def _path(folder: Path) -> Path:
    return folder / "run.json"
