"""BatchNorm statistics of the random encoder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from skelray.platform.config import RunConfig
from skelray.platform.data.source import Source
from skelray.platform.evaluation.baselines import random_checkpoint, set_batch_norm_statistics
from skelray.platform.evaluation.features import part_views
from skelray.platform.training.build import build_method, load_method
from skelray.platform.training.checkpoint import Checkpoint


def test_statistics_are_the_averages_over_the_batches_and_nothing_else_changes(
    config: RunConfig, source: Source
) -> None:
    method = build_method(config, source.spec)
    method.train()
    method.unused.running_mean += 5
    norm = method.encoder[1]
    norm.running_mean += 7  # forgotten
    before = {name: value.clone() for name, value in method.state_dict().items()}
    views = list(part_views(source, method, "joint", "train", batch=32))
    inputs = [method.encoder[0](v["x"].mean(2).flatten(1)).detach() for v in views]
    set_batch_norm_statistics(method, (("joint", v) for v in views))

    mean = torch.stack([x.mean(0) for x in inputs]).mean(0)
    variance = torch.stack([x.var(0) for x in inputs]).mean(0)
    torch.testing.assert_close(norm.running_mean, mean, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(norm.running_var, variance, atol=1e-5, rtol=1e-5)
    changed = {k for k, v in method.state_dict().items() if not torch.equal(v, before[k])}
    own = ("running_mean", "running_var", "num_batches_tracked")
    assert changed == {f"encoder.1.{name}" for name in own}
    assert norm.momentum == 0.1
    assert all(module.training for module in method.modules())


def test_momenta_and_modes_come_back_after_an_error(config: RunConfig, source: Source) -> None:
    method = build_method(config, source.spec).eval()
    with pytest.raises(KeyError):
        set_batch_norm_statistics(method, [("joint", {})])
    assert method.encoder[1].momentum == 0.1
    assert not any(module.training for module in method.modules())


def test_random_checkpoint_is_made_once_and_opens_as_any_other(
    config: RunConfig, source: Source, tmp_path: Path
) -> None:
    path = random_checkpoint(config, source, source.spec, tmp_path)
    assert path == tmp_path / "baselines" / "random" / "step-00000000"
    method = load_method(path)
    initial = build_method(config, source.spec)
    assert torch.equal(method.encoder[0].weight, initial.encoder[0].weight)
    assert not torch.equal(method.encoder[1].running_mean, initial.encoder[1].running_mean)
    assert Checkpoint.open(path).about["finished"] is False
    written = (path / "state.pt").stat().st_mtime_ns
    assert random_checkpoint(config, source, source.spec, tmp_path) == path
    assert (path / "state.pt").stat().st_mtime_ns == written
