"""The connection to Ray: the cluster one is in (job or started cluster), or one on this machine."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

# faster end of a Train run: the controller looks after its workers this often (default 2 s)
os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its warnings speak to Ray's developers

import ray
import ray.data

from skelray.platform.errors import UsageError


@contextmanager
def connected() -> Iterator[None]:
    """Ray for the time of a `with`; what was started here is stopped here."""
    if ray.is_initialized():
        yield
        return
    inside = bool(os.environ.get("RAY_ADDRESS"))
    ray.init(
        address="auto" if inside else "local",
        include_dashboard=None if inside else False,
        logging_level=logging.ERROR,
        log_to_driver=False,  # workers' logs are in Ray's session folder; errors reach the driver
        runtime_env=_environment(),
    )
    _quiet()
    try:
        yield
    finally:
        ray.shutdown()


def _environment() -> dict[str, dict[str, str]]:
    """What workers must share with the driver, but for what the submitted job says already."""
    job = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}"))
    given = (job.get("runtime_env") or {}).get("env_vars") or {}
    names = ("SKELRAY_HOME", "MLFLOW_TRACKING_URI", "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S")
    shared = {name: os.environ[name] for name in names if name in os.environ and name not in given}
    return {"env_vars": shared}


def _quiet() -> None:
    """Ray Data's own bars and plans are for its developers; skelray shows its own progress."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    for name in ("ray.data", "ray.train"):
        logging.getLogger(name).setLevel(logging.ERROR)


def require_cpus(needed: float, what: str) -> None:
    """UsageError where the cluster has too few CPUs, before anything waits for them forever."""
    present = ray.cluster_resources().get("CPU", 0.0)
    if needed > present:
        raise UsageError(
            f"{what} needs {needed:g} CPUs, the cluster has {present:g}: lower training.workers or "
            "training.cpus_per_worker"
        )


def gpus_per_worker(asked: float | None, workers: int) -> float:
    """GPUs each worker gets: what was asked for, else one where the cluster has one for each."""
    if asked is not None:
        return asked
    return 1.0 if ray.cluster_resources().get("GPU", 0.0) >= workers else 0.0
