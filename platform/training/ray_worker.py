"""A worker of Ray Train: the loop on its rank, its log, and how it hears of the end."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import ray.train
import ray.train.torch
import torch

from skelray.platform import distributed, registry
from skelray.platform.config import build
from skelray.platform.logs import logged_to
from skelray.platform.training import interruption
from skelray.platform.training.job import training_loop
from skelray.platform.training.lock import ORPHAN, TRAINING, only_one
from skelray.platform.training.status import Clock


def log_of(folder: Path, rank: int) -> Path:
    """The log of a worker of the run in `folder`."""
    return folder / "logs" / f"worker-{rank}.log"


def work(given: dict[str, Any]) -> None:
    """Trains on this rank; `given` holds config, folder and origin of the run."""
    tree = given["config"]
    config = build(registry.load_method(tree["name"]).Config, tree)
    # Ray reserves CPUs to place workers; torch may use all cores that no other worker here uses
    local = ray.train.get_context().get_local_world_size()
    torch.set_num_threads(config.training.threads or max(1, (os.cpu_count() or 1) // local))
    folder = Path(given["folder"])
    rank = ray.train.get_context().get_world_rank()
    # a killed driver's worker writes until Ray has ended it: it must not write beside this one
    alone = only_one(folder, TRAINING, patience=ORPHAN) if rank == 0 else nullcontext()
    with logged_to(log_of(folder, rank)), alone:
        distributed.barrier()  # then all find the same newest checkpoint
        training_loop(
            config,
            folder,
            origin=given["origin"],
            device=ray.train.torch.get_device(),
            report=_report,
            stop=_Stop(folder),
        ).run()


def _report(metrics: Mapping[str, float], step: int) -> None:
    ray.train.report({**metrics, "step": step})


class _Stop:
    """Whether the run is to end after this step: the driver says so, or a node is taken away."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked = Clock(0.5)
        self.drained = Clock(5.0)  # Ray looks that often

    def __call__(self) -> bool:
        wish = 0
        if distributed.rank() == 0:
            if self.asked.due() and interruption.asked(self.folder):
                wish = 1
            elif self.drained.due():
                wish = 2
        wish = distributed.from_rank_zero(wish)
        # the question is put by all ranks together
        return wish == 1 or (wish == 2 and ray.train.get_preemption_info() is not None)
