"""Classifiers as a user asks for them: fine-tuned, probed, with few labels, on other data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.experiments import commands

pytestmark = pytest.mark.slow

EPOCHS, STEPS = 12, 6  # of the classifier, steps of an epoch
RECIPE = "{" + f"epochs: {EPOCHS}, batch: 8, test_every: 4, optimiser: {{lr: 0.05}}" + "}"
COMMAND = (
    *commands.TINY,
    "method.epochs=1",
    "training.threads=1",
    "evaluation.baselines=false",
    "evaluation.pictures=false",
    "evaluation.linear=[]",
    "evaluation.finetune=[joint]",
    "evaluation.scratch=[joint]",
    f"evaluation.recipes.finetune={RECIPE}",
    f"evaluation.recipes.scratch={RECIPE}",
)


def figures(home: Path) -> dict[str, float]:
    (file,) = home.glob("runs/*/evaluations/step-*.json")
    found: dict[str, float] = json.loads(file.read_text())["figures"]
    return found


def weights(home: Path, start: str) -> dict[str, torch.Tensor]:
    (folder,) = home.glob(f"runs/*/classifiers/finetune-{start}-joint-*")
    file = folder / f"checkpoints/step-{EPOCHS * STEPS:08d}/state.pt"
    state: dict[str, torch.Tensor] = torch.load(file, weights_only=True)["method"]
    return state


def test_a_finetuning_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    done = commands.run(whole, *COMMAND)
    assert done.returncode == 0, done.stderr
    assert (
        "fine-tuning joint from step-00000006: 48 recordings, 12 epochs, global batch 8"
        in done.stdout
    )
    assert "training joint from scratch: 48 recordings, 12 epochs" in done.stdout
    _check_table(done.stdout, figures(whole))
    _check_mlflow(whole)

    commands.run_and_kill(
        killed, *COMMAND, when=lambda: any(killed.glob("runs/*/classifiers/*/checkpoints/step-*"))
    )
    again = commands.run(killed, *COMMAND)
    assert again.returncode == 0, again.stderr
    assert "is trained already" in again.stdout
    assert "going on from step-" in again.stdout
    assert figures(killed) == figures(whole)
    for start in ("pretrained", "scratch"):
        expected, found = weights(whole, start), weights(killed, start)
        assert [name for name in expected if not torch.equal(expected[name], found[name])] == []

    finished = commands.run(killed, *COMMAND)  # there is nothing left to do
    assert finished.returncode == 0, finished.stderr
    assert "fine-tuning" not in finished.stdout.replace("fine-tuned", "")


def _check_table(printed: str, known: dict[str, float]) -> None:
    rows = [line.split() for line in printed.splitlines()]
    (tuned,) = (words[-1] for words in rows if words[:2] == ["pretrained", "encoder"])
    (scratch,) = (words[-1] for words in rows if words[:3] == ["trained", "from", "scratch,"])
    assert float(tuned) == round(known["eval/finetune/top1"], 1)
    assert float(scratch) == round(known["baseline/scratch/finetune/top1"], 1)
    assert known["eval/finetune/top1_best"] >= known["eval/finetune/top1"]


def _check_mlflow(home: Path) -> None:
    """The pretraining's run has the figures; below it each classifier has curves and a model."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("synthetic_xsub")
    assert experiment is not None
    runs = {run.data.tags["stage"]: run for run in client.search_runs([experiment.experiment_id])}
    children = [
        run
        for run in client.search_runs([experiment.experiment_id])
        if run.data.tags["stage"] == "finetune"
    ]
    parent = runs["pretrain"]
    assert parent.data.metrics["eval/finetune/top1"] == figures(home)["eval/finetune/top1"]
    assert {run.data.tags["start"] for run in children} == {"pretrained", "scratch"}
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    for child in children:
        assert child.info.status == "FINISHED"
        tests = client.get_metric_history(child.info.run_id, "test/top1")
        assert [point.step for point in tests] == [24, 48, 72]
        losses = client.get_metric_history(child.info.run_id, "train/loss")
        assert len(losses) == EPOCHS
    models = client.search_logged_models([experiment.experiment_id])
    assert len(models) == 3


def test_probes_few_labels_and_another_split_of_the_recordings(tmp_path: Path) -> None:
    asked = (
        *("method.epochs=1", "training.threads=1"),
        *("evaluation.pictures=false", "evaluation.baselines=false"),
        "evaluation.linear=[published]",
        "evaluation.recipes.linear={augment: true, epochs: 2, batch: 16, test_every: 1}",
        "evaluation.semi.joint=[0.6]",
        "evaluation.recipes.semi={epochs: 2, batch: 4}",
    )
    done = commands.run(tmp_path, *commands.TINY, *asked)
    assert done.returncode == 0, done.stderr
    known = figures(tmp_path)
    assert known["eval/linear/top1_best"] >= known["eval/linear/top1"] >= 0
    (folder,) = tmp_path.glob("runs/*/classifiers/linear-pretrained-joint-*")
    begun = torch.load(origin(folder), weights_only=True)["method"]
    trained = torch.load(newest(folder), weights_only=True)["method"]
    frozen = {name for name in trained if name.startswith("network.encoder.")}
    assert len(frozen) == len(trained) - 2
    for name in frozen:  # statistics too
        own = name.replace("network.encoder.", "streams.0.encoder.")
        assert torch.equal(begun[own], trained[name]), name

    assert 0 <= known["eval/semi60/top1"] <= 100
    assert "60 % of labels top-1" in done.stdout
    (folder,) = tmp_path.glob("runs/*/classifiers/semi60-pretrained-joint-*")
    assert len((folder / "recordings.txt").read_text().split()) == 32  # two of each class's three

    (run,) = (tmp_path / "runs").iterdir()
    command = ("evaluate", run.name, "data.protocol=xview", "evaluation.linear=[fast]")
    moved = commands.run(tmp_path, *commands.SKELRAY, *command, "evaluation.semi={}")
    assert moved.returncode == 0, moved.stderr
    assert "protocol xview, step 6; pretrained on synthetic, xsub" in moved.stdout
    (file,) = run.glob("transfer/synthetic-xview-*/evaluations/step-*.json")
    assert "eval/linear_fast/top1" in json.loads(file.read_text())["figures"]
    assert figures(tmp_path) == known


def origin(folder: Path) -> Path:
    """The weights that a classifier began with."""
    about = json.loads((newest(folder).parent / "checkpoint.json").read_text())
    return Path(about["config"]["classifier"]["checkpoint"]) / "state.pt"


def newest(folder: Path) -> Path:
    """A classifier's last weights."""
    return sorted(folder.glob("checkpoints/step-*"))[-1] / "state.pt"
