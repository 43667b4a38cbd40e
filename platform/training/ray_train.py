"""Ray Train around the loop: workers, process group, restarts after failures, orderly ends.

Checkpoints are the loop's own, written once into the run folder on shared storage, where a later
start of any kind finds them; Ray commits reported checkpoints only some time after `report` has
returned. Ray gets the metrics, so that Tune can schedule on them.

Restarts are made here and not by Ray, which would repeat what fails again: a loss that is not
finite, a full disk, a slip in a method.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any

import ray.train
import ray.train.torch
from ray.exceptions import RayError
from ray.train import ControllerError, TrainingFailedError, WorkerGroupError
from ray.train.v2.api.config import FailureConfig

from skelray.platform import cluster
from skelray.platform.config import RunConfig
from skelray.platform.data.streaming import READER_CPUS
from skelray.platform.errors import SkelrayError, UsageError, first_cause, in_one_line
from skelray.platform.training import interruption
from skelray.platform.training.checkpoint import Checkpoint, latest, set_damaged_aside
from skelray.platform.training.interruption import Interruption
from skelray.platform.training.ray_worker import log_of, work

# what the same step would raise again
_LASTING: tuple[type[Exception], ...] = (
    TypeError,
    ValueError,
    LookupError,
    AttributeError,
    NameError,
    ImportError,
    AssertionError,
    NotImplementedError,
    ArithmeticError,
)
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}

_LOG = logging.getLogger(__name__)


def train(config: RunConfig, folder: Path, *, origin: Mapping[str, str]) -> Checkpoint:
    """Pretrains `config` with Ray Train into `folder`; returns the last checkpoint.

    Ray must be connected. Workers that die are started again, `training.max_failures` times without
    a new checkpoint between; a worker's own error is raised as one line. SIGTERM and Ctrl-C end the
    run after a last checkpoint, within `training.grace` seconds.
    """
    # a cluster that starts nodes may take long; Ray's own patience is a minute
    os.environ["RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"] = str(config.training.patience)
    checkpoints, failures = folder / "checkpoints", 0
    with Interruption(config.training.grace) as stop:
        while True:
            set_damaged_aside(checkpoints)
            before = latest(checkpoints)
            reason = _attempt(_trainer(config, folder, origin), folder, stop)
            last = latest(checkpoints)
            if stop.asked:
                print(f"stopped at {_name(last)}: the same command goes on from there", flush=True)
                stop.end()
            if last is not None and last.finished:
                return last
            progress = last is not None and (before is None or last.step > before.step)
            failures = 0 if progress else failures + 1
            if failures > config.training.max_failures:
                raise SkelrayError(
                    f"training has failed {failures} times without a new checkpoint, at last as "
                    f"{reason}; see {folder / 'logs'}"
                )
            print(f"{reason}: going on from {_name(last)}", flush=True)
            _wait_for_room(config, stop)


def _name(last: Checkpoint | None) -> str:
    return last.path.name if last else "the start"


def _wait_for_room(config: RunConfig, stop: Interruption) -> None:
    """Returns when the cluster can hold the workers; SkelrayError where it cannot for long."""
    patience = config.training.patience
    began, said = time.monotonic(), False
    while True:
        try:
            require_training_room(config)
            return
        except UsageError as error:
            if not said:
                print(f"waiting for nodes, at most {patience:g} s: {error}", flush=True)
            said = True
            if time.monotonic() > began + patience:
                raise SkelrayError(
                    f"no node has come within {patience:g} s: {error}, or give the same "
                    "command again when there are more: it goes on from the last checkpoint"
                ) from None
        stop.end()
        time.sleep(1.0)


def require_training_room(config: RunConfig) -> None:
    """UsageError where Ray has too little for the workers."""
    training = config.training
    cluster.require_room(
        "training",
        workers=training.workers,
        cpus=training.cpus_per_worker,
        gpus=training.gpus_per_worker or 0.0,
        reading=READER_CPUS if config.data.residency == "stream" else 0.0,
    )


def _trainer(
    config: RunConfig, folder: Path, origin: Mapping[str, str]
) -> ray.train.torch.TorchTrainer:
    training = config.training
    gpus = cluster.gpus_per_worker(
        training.gpus_per_worker, training.workers, training.cpus_per_worker
    )
    return ray.train.torch.TorchTrainer(
        work,
        train_loop_config={
            "config": config.model_dump(mode="json"),
            "folder": str(folder),
            "origin": dict(origin),
        },
        scaling_config=ray.train.ScalingConfig(
            num_workers=training.workers,
            use_gpu=gpus > 0,
            resources_per_worker={"CPU": training.cpus_per_worker}
            | ({"GPU": gpus} if gpus else {}),
        ),
        run_config=ray.train.RunConfig(
            # a name of its own: Ray would restore its own state of an earlier start
            name=f"train-{time.strftime('%Y%m%d-%H%M%S')}",
            storage_path=str(folder / "ray"),
            failure_config=FailureConfig(
                max_failures=0, controller_failure_limit=0, max_preemption_failures=0
            ),
        ),
    )


def _attempt(trainer: ray.train.torch.TorchTrainer, folder: Path, stop: Interruption) -> str:
    """Runs the trainer once; why it ended, for a line that says so.

    SkelrayError where another attempt would end the same.
    """
    done: Future[Any] = Future()

    def fit() -> None:
        try:
            done.set_result(trainer.fit())
        except BaseException as error:
            done.set_exception(error)

    # in a thread of its own `fit` leaves the signals to us
    threading.Thread(target=fit, name="ray train", daemon=True).start()
    while not wait([done], timeout=0.2).done:
        if stop.asked and not interruption.asked(folder):
            interruption.ask(folder)
            print("stopping after a last checkpoint; a second signal ends at once", flush=True)
        if stop.overdue:
            stop.end()
    try:
        done.result()
    except (TrainingFailedError, RayError) as error:
        _LOG.info("an attempt to train has failed", exc_info=error)
        return _reason(error, folder)
    return "a node is being taken away"


def _reason(error: Exception, folder: Path) -> str:
    failures = error.worker_failures if isinstance(error, WorkerGroupError) else {}
    causes = {rank: first_cause(failure) for rank, failure in failures.items()}
    own = [cause for cause in causes.values() if isinstance(cause, SkelrayError)]
    if own:
        # a rank that saw a bad loss names its samples, the others know of the gradient alone
        raise min(own, key=lambda cause: "loss" not in str(cause)) from error
    for rank, cause in causes.items():
        if isinstance(cause, _LASTING) or getattr(cause, "errno", None) in _DISK:
            raise SkelrayError(
                f"training worker {rank} has failed, {in_one_line(cause)}; traceback in "
                f"{log_of(folder, rank)}"
            ) from error
    if isinstance(error, ControllerError):
        if "StartupTimeout" in type(error.controller_failure).__name__:
            raise SkelrayError(f"the training workers got no place in time: {error}") from error
        return "the training workers could not be started"
    for rank, cause in causes.items():
        died = isinstance(cause, RayError) or "health check" in str(cause)
        return f"training worker {rank} {'has died' if died else f'failed, {in_one_line(cause)}'}"
    return "the training controller has died"
