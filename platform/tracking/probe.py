"""Whether an MLflow store answers, found out within seconds."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request
from sqlalchemy.exc import SQLAlchemyError

# What MLflow raises when its store is away, locked or full; failed requests are OSErrors.
UNREACHABLE = (MlflowException, SQLAlchemyError, OSError)
_PATIENCE = 5  # seconds


def probe(uri: str) -> None:
    """Raises one of UNREACHABLE where the store at `uri` is away.

    MLflow itself would wait: on a server that hangs its timeout with every try, on a locked
    database 20 seconds, on one that cannot be opened 100. Other kinds of stores are not tried.
    """
    if uri.startswith(("http://", "https://")):
        credentials = get_default_host_creds(uri)
        http_request(  # any answer will do
            credentials, "/health", "GET", max_retries=0, timeout=_PATIENCE, raise_on_status=False
        )
    elif uri.startswith("sqlite:") and _folder(uri).is_dir():  # else MLflow creates it
        engine = sqlalchemy.create_engine(uri, connect_args={"timeout": _PATIENCE})
        try:
            with engine.connect() as connection:
                connection.execute(sqlalchemy.text("BEGIN IMMEDIATE"))
        finally:
            engine.dispose()


def reason(error: BaseException) -> str:
    """The innermost cause in one line: MLflow's own text holds whole requests and statements."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return " ".join(str(error).split())[:200]


def _folder(uri: str) -> Path:
    return Path(sqlalchemy.make_url(uri).database or "").parent
