"""Ray Train around the loop: workers, process group, restarts after failures.

Checkpoints are the loop's own, written once into the run folder on shared storage, where a later
start of any kind finds them; Ray commits reported checkpoints only some time after `report` has
returned. Ray gets the metrics, so that Tune can schedule on them, and restarts the workers when one
dies.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import ray.train
import ray.train.torch
import torch
from ray.train.v2.api.exceptions import WorkerGroupError

from skelray.platform import cluster, registry
from skelray.platform.config import RunConfig, build
from skelray.platform.errors import SkelrayError
from skelray.platform.training.checkpoint import Checkpoint, latest
from skelray.platform.training.job import training_loop
from skelray.platform.training.lock import ORPHAN, TRAINING, only_one


def train(config: RunConfig, folder: Path, *, origin: Mapping[str, str]) -> Checkpoint:
    """Pretrains `config` with Ray Train into `folder`; returns the last checkpoint.

    Ray must be connected. SkelrayError gives a worker's own error as one line.
    """
    training = config.training
    gpus = cluster.gpus_per_worker(training.gpus_per_worker, training.workers)
    trainer = ray.train.torch.TorchTrainer(
        _worker,
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
            failure_config=ray.train.FailureConfig(max_failures=training.max_failures),
        ),
    )
    try:
        trainer.fit()
    except WorkerGroupError as error:
        raise _first_cause(error) from error
    last = latest(folder / "checkpoints")
    assert last is not None and last.finished
    return last


def _first_cause(error: WorkerGroupError) -> SkelrayError:
    for failure in error.worker_failures.values():
        cause: BaseException | None = failure
        while cause is not None:
            if isinstance(cause, SkelrayError):
                return cause
            cause = cause.__cause__
    reason = str(next(iter(error.worker_failures.values()), error)).strip().splitlines()[-1]
    return SkelrayError(f"a training worker failed: {reason}")


def _worker(given: dict[str, Any]) -> None:
    tree = given["config"]
    config = build(registry.load_method(tree["name"]).Config, tree)
    # Ray reserves CPUs to place workers; torch may use all cores that no other worker here uses
    local = ray.train.get_context().get_local_world_size()
    torch.set_num_threads(config.training.threads or max(1, (os.cpu_count() or 1) // local))
    folder = Path(given["folder"])
    loop = training_loop(
        config,
        folder,
        origin=given["origin"],
        device=ray.train.torch.get_device(),
        report=_report,
    )
    # a killed driver's worker writes until Ray has ended it: it must not write beside this one
    writes = ray.train.get_context().get_world_rank() == 0
    with only_one(folder, TRAINING, patience=ORPHAN) if writes else nullcontext():
        loop.run()


def _report(metrics: Mapping[str, float], step: int) -> None:
    ray.train.report({**metrics, "step": step})
