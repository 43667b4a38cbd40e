"""What a pretrained encoder is compared with: the same encoder at its initial weights.

Its BatchNorm statistics are set on the training part first, without labels: with the initial ones
(mean 0, variance 1) a random encoder looks worse than it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from skelray.platform.config import RunConfig
from skelray.platform.data.source import Source
from skelray.platform.evaluation.features import part_views
from skelray.platform.method import DataSpec, Method, Views
from skelray.platform.nn.modes import in_eval_mode
from skelray.platform.progress import progress_bar
from skelray.platform.training import checkpoint
from skelray.platform.training.build import build_method
from skelray.platform.training.job import description


@torch.no_grad()
def set_batch_norm_statistics(method: Method, batches: Iterable[tuple[str, Views]]) -> None:
    """Sets running means and variances to the averages over `batches` of (output, views).

    Everything else stays as it is: parameters, momenta, modes, and BatchNorms that no batch passes.
    Dropout is off.
    """
    norms = [m for m in method.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    momenta = {norm: norm.momentum for norm in norms}
    before = {norm: _copy(norm) for norm in norms}
    with in_eval_mode(method):
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the plain average of all batches
            norm.train()
        try:
            for output, views in batches:
                method.features(views, [output])
        finally:
            for norm, momentum in momenta.items():
                norm.momentum = momentum
                if not norm.num_batches_tracked:
                    norm.load_state_dict(before[norm])


def _copy(norm: _BatchNorm) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in norm.state_dict().items()}


def random_checkpoint(config: RunConfig, source: Source, data: DataSpec, folder: Path) -> Path:
    """The untrained method, built for `data`, as a checkpoint below `folder/baselines/random`.

    It is made once.
    """
    target = folder / "baselines" / "random"
    if found := checkpoint.latest(target):
        return found.path
    method = build_method(config, data)
    set_batch_norm_statistics(method, _batches(config, source, method))
    about = {
        **description(config, source, method),
        "step": 0,
        "progress": {},
        "finished": False,
        "baseline": "random",
    }
    state = {"method": method.state_dict()}
    return checkpoint.save(target, state=state, about=about, keep=1).path


def _batches(config: RunConfig, source: Source, method: Method) -> Iterator[tuple[str, Views]]:
    with progress_bar("BatchNorm of the random encoder", len(method.outputs), "outputs") as bar:
        for output in method.outputs:
            for views in part_views(source, method, output, "train", batch=config.evaluation.batch):
                yield output, views
            bar.update(1)
