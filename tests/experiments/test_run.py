"""The main job as a user gives it: one command on generated recordings, to the table and MLflow."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.experiments import commands


def run(home: Path, *settings: str) -> subprocess.CompletedProcess[str]:
    return commands.run(home, *commands.TINY, *settings)


def folder_of(home: Path) -> Path:
    (folder,) = (home / "runs").iterdir()
    return folder


def records(home: Path) -> list[dict[str, Any]]:
    file = folder_of(home) / "metrics.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_one_command_from_recordings_to_the_table_and_mlflow(tmp_path: Path) -> None:
    done = run(tmp_path, "method.epochs=2", "evaluation.linear=[fast]")
    assert done.returncode == 0, done.stderr
    table = [line.split() for line in done.stdout.splitlines()]
    rows = {
        " ".join(words[:2]): [float(w) for w in words[-4:]]
        for words in table
        if len(words) > 5 and words[0] in ("raw", "random", "pretrained")
    }
    assert set(rows) == {"raw coordinates", "random encoder", "pretrained encoder"}
    assert all(0 <= value <= 100 for row in rows.values() for value in row)
    assert "mlflow ui --backend-store-uri sqlite:///" in done.stdout
    assert [record["step"] for record in records(tmp_path)] == [6, 12]

    again = run(tmp_path, "method.epochs=2", "evaluation.linear=[fast]")
    assert again.returncode == 0, again.stderr
    assert "is trained already" in again.stdout
    assert [line for line in again.stdout.splitlines() if line.startswith("pretrained")] == [
        line for line in done.stdout.splitlines() if line.startswith("pretrained")
    ]
    _check_mlflow(tmp_path, {k: v for k, v in rows.items()})


def _check_mlflow(home: Path, rows: dict[str, list[float]]) -> None:
    """One finished run with curves, figures, pictures and the model that carries them."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("synthetic_xsub")
    assert experiment is not None
    (stored,) = client.search_runs([experiment.experiment_id])
    assert stored.info.status == "FINISHED"
    assert [m.step for m in client.get_metric_history(stored.info.run_id, "train/loss")] == [6, 12]
    top1 = stored.data.metrics["eval/linear_fast/top1"]
    assert round(top1, 1) == rows["pretrained encoder"][0]
    assert stored.data.params["method.channels"] == "4"
    assert {"method", "dataset", "protocol", "seed", "data_version"} <= stored.data.tags.keys()
    names = {artifact.path for artifact in client.list_artifacts(stored.info.run_id)}
    assert {"config.yaml", "environment.json", "pictures"} <= names
    (model,) = client.search_logged_models([experiment.experiment_id])
    figures = {metric.key: metric.value for metric in model.metrics or []}
    assert figures["eval/linear_fast/top1"] == top1


@pytest.mark.slow
def test_two_streaming_workers_end_where_one_does(tmp_path: Path) -> None:
    """Ray Train with two ranks, frames through Ray Data: the same batches, so the same weights."""
    # a small rate: BatchNorm on eight recordings amplifies the rounding of earlier steps
    settings = ("method.epochs=2", "method.lr=0.001")
    quick = ("evaluation.baselines=false", "evaluation.pictures=false")
    spread = ("training.workers=2", "training.cpus_per_worker=0.5", "data.residency=stream")
    states, losses = [], []
    for name, further in (("one", ()), ("two", spread)):
        done = run(tmp_path / name, *settings, *quick, *further)
        assert done.returncode == 0, done.stderr
        last = folder_of(tmp_path / name) / "checkpoints/step-00000012/state.pt"
        states.append(torch.load(last, weights_only=True)["method"])
        losses.append([record["metrics"]["train/loss"] for record in records(tmp_path / name)])
    assert folder_of(tmp_path / "one").name == folder_of(tmp_path / "two").name
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    for key, value in states[0].items():
        torch.testing.assert_close(states[1][key], value, atol=1e-3, rtol=1e-2, msg=key)
