"""Ray Train around the loop: workers, process group, restarts after failures, orderly ends.

Checkpoints are the loop's own, written once into the run folder on shared storage, where a later
start of any kind finds them; Ray commits reported checkpoints only some time after `report` has
returned. Ray gets the metrics, so that Tune can schedule on them.

Restarts are made here and not by Ray, which would repeat what fails again: a loss that is not
finite, a full disk, a slip in a method.
"""

from __future__ import annotations

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
from ray.train import (
    ControllerError,
    PreemptionError,
    TrainingFailedError,
    WorkerGroupError,
)
from ray.train.v2.api.config import FailureConfig

from skelray.platform import cluster
from skelray.platform.config import RunConfig
from skelray.platform.data.streaming import DECODER_CPUS, READER_CPUS
from skelray.platform.errors import SkelrayError
from skelray.platform.training import allocation, interruption
from skelray.platform.training.checkpoint import Checkpoint, latest, set_damaged_aside
from skelray.platform.training.clock import Clock
from skelray.platform.training.interruption import Interruption
from skelray.platform.training.ray_worker import work
from skelray.platform.training.step import LossNotFiniteError

_LOG = logging.getLogger(__name__)


def train(config: RunConfig, folder: Path, *, origin: Mapping[str, str]) -> Checkpoint:
    """Pretrains `config` with Ray Train into `folder`; returns the last checkpoint.

    Ray must be connected. Workers that die are started again, `training.max_failures` times without
    a new checkpoint between; a worker's own error is raised as one line. SIGTERM and Ctrl-C end the
    run after a last checkpoint, within `training.grace` seconds.
    """
    training = config.training
    # a cluster that starts nodes may take long; Ray's own patience is a minute
    os.environ["RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"] = str(training.patience + 30)
    # counted once: a run that has begun on GPUs does not go on without them
    gpus = cluster.gpus_per_worker(
        training.gpus_per_worker, training.workers, training.cpus_per_worker
    )
    checkpoints, failures = folder / "checkpoints", 0
    with Interruption(training.grace) as stop:
        while True:
            before = latest(checkpoints)
            room = _Room(config, gpus)
            reason = _attempt(_trainer(config, gpus, folder, origin), folder, stop, room)
            set_damaged_aside(checkpoints)
            last = latest(checkpoints)
            if stop.asked:
                print(f"stopped at {_name(last)}: the same command goes on from there", flush=True)
                stop.end()
            if last is not None and last.finished:
                return last
            progress = last is not None and (before is None or last.step > before.step)
            failures = 0 if progress else failures + 1
            if failures > training.max_failures:
                raise SkelrayError(
                    f"training has failed {failures} times without a new checkpoint, at last as "
                    f"{reason}; see {folder / 'logs'}"
                )
            print(f"{reason}: going on from {_name(last)}", flush=True)


def _name(last: Checkpoint | None) -> str:
    return last.path.name if last else "the start"


class _Room:
    """Whether the cluster can hold the workers while an attempt is under way; nodes may be lost."""

    def __init__(self, config: RunConfig, gpus: float) -> None:
        self.config, self.gpus = config, gpus
        self.patience = config.training.patience
        self.lacking_since: float | None = None
        self.clock = Clock(1.0)

    def look(self) -> None:
        """Says once that room is lacking; SkelrayError where it is for long."""
        if not self.clock.due():
            return
        missing = cluster.lack("training", **_shares(self.config, self.gpus))
        if not missing:
            self.lacking_since = None
            return
        if self.lacking_since is None:
            self.lacking_since = time.monotonic()
            print(f"waiting for nodes, at most {self.patience:g} s: {missing}", flush=True)
        if time.monotonic() > self.lacking_since + self.patience:
            raise SkelrayError(
                f"no node has come within {self.patience:g} s: {missing}, or give the same command "
                "again when there are more: it goes on from the last checkpoint"
            )


def require_training_room(config: RunConfig) -> None:
    """UsageError where Ray has too little for the workers."""
    cluster.require_room("training", **_shares(config, config.training.gpus_per_worker or 0.0))


def _shares(config: RunConfig, gpus: float) -> dict[str, Any]:
    training = config.training
    return {
        "workers": training.workers,
        "cpus": training.cpus_per_worker,
        "gpus": gpus,
        "reading": _reading(config) if config.data.residency == "stream" else 0.0,
    }


def _reading(config: RunConfig) -> float:
    """CPUs of the actors that read for a worker."""
    return DECODER_CPUS * (config.data.decoders or 1) if config.data.clips else READER_CPUS


def _trainer(
    config: RunConfig, gpus: float, folder: Path, origin: Mapping[str, str]
) -> ray.train.torch.TorchTrainer:
    training = config.training
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
        run_config=ray.train.RunConfig(  # type: ignore[call-arg]  # V2 has more
            # a name of its own: Ray would restore its own state of an earlier start
            name=f"train-{time.strftime('%Y%m%d-%H%M%S')}",
            storage_path=str(folder / "ray"),
            worker_runtime_env={"env_vars": {} if gpus else allocation.KEEP_FREED_MEMORY},
            failure_config=FailureConfig(
                max_failures=0, controller_failure_limit=0, max_preemption_failures=0
            ),
        ),
    )


def _attempt(
    trainer: ray.train.torch.TorchTrainer, folder: Path, stop: Interruption, room: _Room
) -> str:
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
    try:
        while not wait([done], timeout=0.2).done:
            room.look()
            _heed(stop, folder)
    except BaseException:
        cluster.abandon()
        raise
    try:
        done.result()
    except (TrainingFailedError, RayError) as error:
        _LOG.info("an attempt to train has failed", exc_info=error)
        return _reason(error)
    return "a node is being taken away"


def _heed(stop: Interruption, folder: Path) -> None:
    """Passes a signal on to the workers; ends the process where they take too long."""
    if stop.asked and not interruption.asked(folder):
        interruption.ask(folder)
        print("stopping after a last checkpoint; a second signal ends at once", flush=True)
    if stop.overdue:
        print("the time for a last checkpoint is over (training.grace)", flush=True)
        stop.end()


def _reason(error: Exception) -> str:
    if isinstance(error, ControllerError):
        return _reason_of_start(error)
    if isinstance(error, PreemptionError):
        return "a node has been taken away"
    failures = error.worker_failures if isinstance(error, WorkerGroupError) else {}
    own = [cause for cause in failures.values() if isinstance(cause, SkelrayError)]
    if own:
        # the rank whose loss it is names its samples, the others know of the gradient alone
        raise min(own, key=lambda cause: not isinstance(cause, LossNotFiniteError)) from error
    for rank, cause in failures.items():
        if isinstance(cause, RayError) or "health check" in str(cause):
            return f"training worker {rank} has died"
    for rank, cause in failures.items():
        return f"training worker {rank} has failed, {cause}"
    return "the training controller has died"


def _reason_of_start(error: ControllerError) -> str:
    cause = error.controller_failure
    if "StartupTimeout" in type(cause).__name__:
        raise SkelrayError(
            "the cluster has given the training workers no place in time: see training.workers, "
            "training.cpus_per_worker and training.patience"
        ) from error
    first_line = next(iter(str(cause).splitlines()), "")
    return f"the training workers could not be started ({type(cause).__name__}: {first_line})"
