"""One MLflow run per training run, written by the driver alone from what lies in the run folder.

`metrics.jsonl` (written by rank 0) and `evaluations.jsonl` (written here) are the source; MLflow is filled
from them, and `run.json` keeps how far. So an MLflow that is away costs nothing but a warning: the next call
that reaches it, in this process or after a restart, brings what is missing.
"""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import yaml

from skelray.platform.config import RunConfig
from skelray.platform.method import Method
from skelray.platform.tracking import provenance, store
from skelray.platform.tracking.client import UNREACHABLE, experiment_id, open_client
from skelray.platform.tracking.model import FLAVOUR, write_model
from skelray.platform.tracking.notes import Notes
from skelray.platform.tracking.system import start_monitor
from skelray.platform.training.checkpoint import Checkpoint
from skelray.platform.training.metrics import MetricsFile

from mlflow.entities import LoggedModelOutput, Metric, Param, RunTag  # isort: skip  # after client
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor  # isort: skip
from mlflow.utils.validation import (  # isort: skip
    MAX_METRICS_PER_BATCH,
    MAX_PARAM_VAL_LENGTH,
    MAX_PARAMS_TAGS_PER_BATCH,
)

Status = Literal["FINISHED", "FAILED", "KILLED"]

_LOG = logging.getLogger(__name__)
_PAUSE = 30.0  # seconds before a store that was away is tried again
