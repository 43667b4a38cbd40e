"""The one place that opens MLflow: quiet, without telemetry, and never waiting for minutes."""

from __future__ import annotations

import logging
import os

# Read when mlflow is imported, or at each request; whoever set them otherwise is obeyed.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")  # Tracker says in one line what went wrong
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # MLflow: 7, about 4 minutes
os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")  # MLflow: 120 seconds

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from skelray.platform.tracking import store

UNREACHABLE = (MlflowException, SQLAlchemyError, OSError)
"""What a call raises when the store is away, locked or full (a refused request is an OSError)."""

logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # a line for every retry


def open_client() -> MlflowClient:
    """A client of the store."""
    return MlflowClient(tracking_uri=store.tracking_uri())


def experiment_id(client: MlflowClient, name: str) -> str:
    """The id of the experiment of that name, which is created if there is none."""
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, store.artifact_location(name)))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)  # another run was faster
    assert found is not None
    return str(found.experiment_id)
