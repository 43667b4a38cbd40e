"""Where MLflow keeps runs: its address, where artifacts go, and how to look at them.

Imports no MLflow, which takes seconds: `client` does.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

from skelray.platform import paths

_PORT = 5000


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI, else an SQLite file below SKELRAY_HOME."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{paths.home() / 'mlflow.db'}"


def artifact_location(experiment: str) -> str | None:
    """Where a new experiment keeps its files; None where a server decides.

    MLflow's own default for databases is the working directory, which Ray removes after a job.
    """
    if _is_server(tracking_uri()):
        return None
    return (paths.home() / "mlartifacts" / experiment).as_uri()


def ui_command() -> str:
    """The command that opens MLflow's pages on the store; it works as printed."""
    uri = tracking_uri()
    if _is_server(uri):
        return f"python -m webbrowser {shlex.quote(ui_address())}"
    return f"{_program()} ui --backend-store-uri {shlex.quote(uri)} --port {_PORT}"


def ui_address() -> str:
    """Where the pages are once that command runs: the list of experiments, as for training.

    Without the parameter MLflow 3 shows its pages for chat bots, where models are "agent versions".
    """
    uri = tracking_uri()
    server = uri.rstrip("/") if _is_server(uri) else f"http://127.0.0.1:{_PORT}"
    return f"{server}/#/experiments?workflowType=machine_learning"


def _is_server(uri: str) -> bool:
    return uri.startswith(("http://", "https://", "databricks"))


def _program() -> str:
    """`mlflow`, with its folder where the shell would not find the one of this Python."""
    own = Path(sys.executable).parent / "mlflow"
    found = shutil.which("mlflow")
    if not own.exists() or (found and Path(found).resolve() == own.resolve()):
        return "mlflow"
    return shlex.quote(str(own))
