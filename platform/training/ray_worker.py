"""A worker of Ray Train: the loop on its rank, its log, and how it hears of the end."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import ray.train
import ray.train.torch
import torch

from skelray.platform import distributed, registry
from skelray.platform.config import ClassifierConfig, RunConfig, build
from skelray.platform.errors import SkelrayError, first_cause, in_one_line
from skelray.platform.logs import logged_to
from skelray.platform.training import interruption
from skelray.platform.training.clock import Clock
from skelray.platform.training.job import training_loop
from skelray.platform.training.lock import ORPHAN, TRAINING, only_one
from skelray.platform.training.loop import Draw, Test, draw_nothing, test_nothing

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


def work(given: dict[str, Any]) -> None:
    """Trains on this rank; `given` holds config, folder and origin of the run.

    SkelrayError where the same step would fail again, RuntimeError where another attempt may be
    worth it; both in one line, as Ray sends an error without the place where it was raised.
    """
    rank = ray.train.get_context().get_world_rank()
    log = Path(given["folder"]) / "logs" / f"worker-{rank}.log"
    try:
        with logged_to(log):
            _train(rank, given)
    except Exception as error:
        cause = first_cause(error)
        if isinstance(cause, SkelrayError):
            raise cause from None
        said = f"{in_one_line(cause)}; traceback in {log}"
        if isinstance(cause, _LASTING) or getattr(cause, "errno", None) in _DISK:
            raise SkelrayError(f"training worker {rank} has failed, {said}") from None
        raise RuntimeError(said) from None


def _train(rank: int, given: Mapping[str, Any]) -> None:
    tree = given["config"]
    config = build(registry.load_method(tree["name"]).Config, tree)
    # Ray reserves CPUs to place workers; torch may use all cores that no other worker here uses
    local = ray.train.get_context().get_local_world_size()
    torch.set_num_threads(config.training.threads or max(1, (os.cpu_count() or 1) // local))
    device = ray.train.torch.get_device()
    folder = Path(given["folder"])
    # a killed driver's worker writes until Ray has ended it: it must not write beside this one
    alone = only_one(folder, TRAINING, patience=ORPHAN) if rank == 0 else nullcontext()
    with alone:
        training_loop(
            config,
            folder,
            origin=given["origin"],
            device=device,
            draw=_drawing(config, folder, device) if rank == 0 else draw_nothing,
            test=_testing(config, device),
            report=_report,
            stop=_Stop(folder),
        ).run()


def _drawing(config: RunConfig, folder: Path, device: torch.device) -> Draw:
    if not (config.evaluation.tsne_every and config.evaluation.pictures):
        return draw_nothing
    if isinstance(config, ClassifierConfig):  # its features are logits
        return draw_nothing
    # scikit-learn and matplotlib are loaded by those who draw
    from skelray.platform.data.source import Source
    from skelray.platform.evaluation.embedding import Embedding

    return Embedding(config, Source.open(config.data), folder, device)


def _testing(config: RunConfig, device: torch.device) -> Test:
    if not isinstance(config, ClassifierConfig):
        return test_nothing
    # pretraining needs nothing that evaluates
    from skelray.platform.data.source import Source
    from skelray.platform.evaluation.testing import Testing

    return Testing(config, Source.open(config.data), device)


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
