"""`skelray sync`: what it prints, how it ends, and the main job without MLflow before it."""

from __future__ import annotations

import json
import logging
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from skelray.platform import cli
from skelray.platform.tracking import store
from skelray.platform.tracking.tracker import Tracker
from skelray.platform.training.metrics import MetricsFile
from tests.experiments import commands
from tests.platform.tracking.drivers import run_config
from tests.platform.tracking.server import Server

AWAY = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty SKELRAY_HOME; what `main` sets for a whole process is put back."""
    monkeypatch.setenv("SKELRAY_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    handler, handlers = signal.getsignal(signal.SIGTERM), logging.root.handlers[:]
    yield tmp_path / "home"
    signal.signal(signal.SIGTERM, handler)
    logging.root.handlers[:] = handlers


def offline_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that never reached MLflow, with an evaluation."""
    with monkeypatch.context() as outage:
        outage.setenv("MLFLOW_TRACKING_URI", AWAY)
        with Tracker.open(folder, config=run_config(), tags={}) as tracker:
            tracker.log_evaluation(10, {"eval/knn1/top1": 50.0})


def test_a_run_is_brought_with_its_classifiers_and_transfers(
    capsys: pytest.CaptureFixture[str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = ("classifiers/rgb-1", "transfer/other", "transfer/other/classifiers/rgb-2")
    for folder in ("a", *(f"a/{part}" for part in parts)):
        offline_run(home / "runs" / folder, monkeypatch)
    cli.main(["sync", "a"])
    brought = "a new run with its settings, status FINISHED, 1 figure"
    assert capsys.readouterr().out.splitlines() == [
        f"a: {brought}",
        *(f"a/{part}: {brought}" for part in parts),
    ]


def test_all_runs_or_those_that_are_named(
    capsys: pytest.CaptureFixture[str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.main(["sync"])
    assert capsys.readouterr().out == f"no runs in {home / 'runs'}\n"
    for name in ("a", "b", "b.before-20250101-120000"):
        offline_run(home / "runs" / name, monkeypatch)
    brought = "a new run with its settings, status FINISHED, 1 figure"
    cli.main(["sync", "b"])
    assert capsys.readouterr().out == f"b: {brought}\n"
    cli.main(["sync", str(home / "runs/b.before-20250101-120000")])
    assert capsys.readouterr().out == f"b.before-20250101-120000: {brought}\n"
    cli.main(["sync"])
    assert capsys.readouterr().out.splitlines() == [
        f"a: {brought}",
        "b: up to date",
        "b.before-20250101-120000: up to date",
    ]
    (experiment,) = (
        found
        for found in MlflowClient(store.tracking_uri()).search_experiments()
        if found.name == "synthetic_xsub"
    )
    assert len(MlflowClient(store.tracking_uri()).search_runs([experiment.experiment_id])) == 3


def test_what_cannot_be_brought_is_said_and_the_status_1(
    capsys: pytest.CaptureFixture[str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offline_run(home / "runs/a", monkeypatch)
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        cli.main(["sync", "nowhere", "a"])
    assert stopped.value.code == 1
    printed = capsys.readouterr()
    assert printed.out.splitlines()[0] == (
        f"nowhere: skipped: {home / 'runs/nowhere'} holds no run: run.json is missing"
    )
    assert printed.out.splitlines()[1].startswith("a: a new run")
    assert printed.err.splitlines()[-1] == "error: 1 of 2 runs skipped, see above"
    assert not (home / "runs/nowhere").exists()

    monkeypatch.setenv("MLFLOW_TRACKING_URI", AWAY)
    with pytest.raises(SystemExit) as stopped:
        cli.main(["sync"])
    assert stopped.value.code == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"error: MLflow at {AWAY} does not answer (")
    assert printed.err.count("\n") == 1


@pytest.mark.slow
def test_the_main_job_without_mlflow_and_sync_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    server = Server(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    done = commands.run(
        home,
        *("experiments/run.py", "skeletonclr", "synthetic", "data.size=tiny", "method.channels=4"),
        *("method.batch=8", "method.queue=16", "method.epochs=3", "evaluation.linear=[fast]"),
    )
    assert done.returncode == 0, done.stderr
    assert "pretrained encoder" in done.stdout
    (folder,) = (home / "runs").iterdir()
    lines = done.stderr.splitlines()
    (noticed,) = (line for line in lines if "cannot be written" in line)
    assert noticed.startswith(f"MLflow at {server.uri} cannot be written ([Errno 111]")
    assert f"skelray sync {folder}" in done.stderr
    records = MetricsFile(folder / "metrics.jsonl").read()
    assert len(records) == 3

    server.start()
    try:
        cli.main(["sync", folder.name])
        assert capsys.readouterr().out.startswith(
            f"{folder.name}: a new run with its settings, status FINISHED, 3 epochs, "
        )
        cli.main(["sync"])
        assert capsys.readouterr().out == f"{folder.name}: up to date\n"
        _check(MlflowClient(server.uri), folder, [record["step"] for record in records])
    finally:
        server.kill()


def _check(client: MlflowClient, folder: Path, steps: list[int]) -> None:
    """One finished run with curve, figures, pictures and the model that carries them."""
    experiment = client.get_experiment_by_name("synthetic_xsub")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    history = client.get_metric_history(run.info.run_id, "train/loss")
    assert [point.step for point in history] == steps
    (step,) = {r["step"] for r in MetricsFile(folder / "evaluations.jsonl").read()}
    stored = f"evaluations/step-{step:08d}.json"
    figures = json.loads(Path(client.download_artifacts(run.info.run_id, stored)).read_text())
    assert figures["eval/linear_fast/top1"] == run.data.metrics["eval/linear_fast/top1"]
    assert client.list_artifacts(run.info.run_id, f"pictures/step-{step:08d}")
    (model,) = client.search_logged_models([experiment.experiment_id])
    attached = {metric.key: metric.value for metric in model.metrics or []}
    assert attached == figures
