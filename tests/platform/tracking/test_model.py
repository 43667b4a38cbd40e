from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient

from skelray.platform.config import RunConfig
from skelray.platform.errors import CheckpointError
from skelray.platform.method import Method
from skelray.platform.tracking.model import load_model
from skelray.platform.tracking.tracker import Tracker
from skelray.platform.training.checkpoint import Checkpoint


def test_model_comes_back_with_its_weights(
    client: MlflowClient,
    tmp_path: Path,
    config: RunConfig,
    method: Method,
    save: Callable[[int], Checkpoint],
) -> None:
    saved = save(40)
    with Tracker.open(tmp_path, config=config, tags={}) as tracker:
        tracker.log_model(method, saved, {})
    assert tracker.run_id is not None
    (output,) = client.get_run(tracker.run_id).outputs.model_outputs
    loaded = load_model(f"models:/{output.model_id}")
    assert loaded.config == method.config and loaded.data == method.data
    assert loaded.state_dict().keys() == method.state_dict().keys()
    for name, value in method.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    views = {name: torch.randn(2, 3, 8, 25, 2) for name in method.outputs}
    for name, features in method.features(views, list(method.outputs)).items():
        assert torch.equal(loaded.features(views, [name])[name], features)


def test_the_ends_of_phases_become_models_too(
    client: MlflowClient,
    tmp_path: Path,
    config: RunConfig,
    method: Method,
    save: Callable[..., Checkpoint],
) -> None:
    save(10, ends="masked")
    between = {name: value.clone() for name, value in method.state_dict().items()}
    save(20)
    last = save(30, ends="contrast", finished=True)
    with Tracker.open(tmp_path, config=config, tags={}) as tracker:
        tracker.log_model(method, last, {"eval/knn1/top1": 50.0})
    assert tracker.run_id is not None
    run = client.get_run(tracker.run_id)
    models = {
        model.name.removeprefix(f"{run.info.run_name}-"): model
        for model in client.search_logged_models([run.info.experiment_id])
        if model.source_run_id == tracker.run_id
    }
    assert set(models) == {"masked-step10", "step30"}
    assert models["masked-step10"].metrics is None
    loaded = load_model(f"models:/{models['masked-step10'].model_id}").state_dict()
    assert [name for name in between if not torch.equal(between[name], loaded[name])] == []


def test_missing_model_is_one_clear_line() -> None:
    with pytest.raises(CheckpointError, match="models:/m-nothing cannot be read from sqlite"):
        load_model("models:/m-nothing")
