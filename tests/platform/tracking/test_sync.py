"""Run folders brought to MLflow after the run: all of it, once, whatever happens in between."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from mlflow import MlflowClient
from mlflow.entities import Run

from skelray.platform.config import RunConfig
from skelray.platform.errors import SkelrayError
from skelray.platform.method import Method
from skelray.platform.tracking.model import load_model
from skelray.platform.tracking.run_file import RunFile
from skelray.platform.tracking.sync import run_folders, sync
from skelray.platform.tracking.tracker import Tracker
from skelray.platform.training.checkpoint import Checkpoint
from skelray.platform.training.lock import only_one
from skelray.platform.training.metrics import MetricsFile

Save = Callable[..., Checkpoint]
AWAY = "http://127.0.0.1:9"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def offline(
    runs: Path,
    config: RunConfig,
    method: Method,
    save: Save,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Path]:
    """Makes a run that never reached MLflow; `killed` without an end."""

    def make(name: str, *, killed: bool = False) -> Path:
        folder = runs / name
        with monkeypatch.context() as outage:
            outage.setenv("MLFLOW_TRACKING_URI", AWAY)
            tracker = Tracker.open(folder, config=config, tags={"data_version": "v1"})
            for step in (10, 20, 30):
                MetricsFile(folder / "metrics.jsonl").append(step, {"train/loss": 1 / step})
            if killed:
                save(20, folder)
            else:
                checkpoint = save(30, folder, finished=True)
                picture = folder / "evaluations/tsne.png"
                picture.parent.mkdir()
                picture.write_bytes(f"picture of {name}".encode())
                figures = {"eval/knn1/top1": 50.0, "eval/linear/top1": 60.0}
                tracker.log_evaluation(30, figures, [picture])
                tracker.log_model(method, checkpoint, figures)
            tracker.finish("FINISHED")
        if killed:  # what its file says then
            file = RunFile.read(folder)
            file.status, file.ended = "RUNNING", None
            file.write(folder)
        return folder

    return make


def lines(*folders: Path) -> list[str]:
    return list(sync(folders))


def run_of(client: MlflowClient, folder: Path) -> Run:
    """The only MLflow run of a folder."""
    key = RunFile.read(folder).key
    experiment = client.get_experiment_by_name("synthetic_xsub")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id], f"tags.run_key = '{key}'")
    return run


def content(client: MlflowClient, folder: Path, scratch: Path) -> dict[str, Any]:
    """All that MLflow has of a folder's run, without the ids that it gave."""
    run = run_of(client, folder)
    run_id = run.info.run_id
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    files = Path(client.download_artifacts(run_id, "", str(scratch)))
    models = [
        (
            model.name,
            model.status,
            sorted((m.key, m.step, m.value, m.timestamp) for m in model.metrics or []),
        )
        for model in client.search_logged_models([run.info.experiment_id])
        if model.source_run_id == run_id
    ]
    return {
        "status": (run.info.status, run.info.start_time, run.info.end_time, run.info.run_name),
        "params": run.data.params,
        "tags": {key: value for key, value in run.data.tags.items() if key != "run_key"},
        "metrics": {
            name: [(m.step, m.value, m.timestamp) for m in client.get_metric_history(run_id, name)]
            for name in run.data.metrics
        },
        "files": {
            str(path.relative_to(files)): path.read_bytes()
            for path in files.rglob("*")
            if path.is_file()
        },
        "models": models,
        "outputs": [output.step for output in run.outputs.model_outputs],
    }


def test_a_run_that_never_reached_mlflow_is_brought_whole(
    client: MlflowClient,
    offline: Callable[..., Path],
    config: RunConfig,
    method: Method,
    tmp_path: Path,
) -> None:
    folder = offline("a")
    assert lines(folder) == [
        "a: a new run with its settings, status FINISHED, 3 epochs, 2 figures, 1 picture, the model"
    ]
    brought, file = content(client, folder, tmp_path / "scratch"), RunFile.read(folder)
    assert file.ended is not None
    times = [round(1000 * seconds) for seconds in (file.began, file.ended)]
    name = f"skeletonclr-{config.identity('v1')[:6]}"
    assert brought["status"] == ("FINISHED", *times, name)
    assert brought["params"] == {key: str(value) for key, value in config.flat().items()}
    records = MetricsFile(folder / "metrics.jsonl").read()
    assert brought["metrics"]["train/loss"] == [
        (r["step"], r["metrics"]["train/loss"], round(1000 * r["time"])) for r in records
    ]
    assert brought["files"].keys() == {
        *("config.yaml", "environment.json"),
        *("pictures/step-00000030/tsne.png", "evaluations/step-00000030.json"),
    }
    assert brought["files"]["config.yaml"] == (folder / "config.yaml").read_bytes()
    assert brought["files"]["pictures/step-00000030/tsne.png"] == b"picture of a"
    ((model, status, figures),) = brought["models"]
    assert (model, str(status)) == (f"{name}-step30", "READY")
    assert [(key, value) for key, _, value, _ in figures] == [
        ("eval/knn1/top1", 50.0),
        ("eval/linear/top1", 60.0),
    ]
    (output,) = run_of(client, folder).outputs.model_outputs
    loaded = load_model(f"models:/{output.model_id}")
    assert loaded.data == method.data
    for key, value in method.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key

    for _ in range(2):
        assert lines(folder) == ["a: up to date"]
    assert content(client, folder, tmp_path / "scratch") == brought


def test_a_killed_run_is_brought_to_its_newest_checkpoint(
    client: MlflowClient, offline: Callable[..., Path]
) -> None:
    folder = offline("a", killed=True)
    assert lines(folder) == ["a: a new run with its settings, status KILLED, 2 epochs"]
    run = run_of(client, folder)
    last = MetricsFile(folder / "metrics.jsonl").read()[-1]["time"]
    assert (run.info.status, run.info.end_time) == ("KILLED", round(1000 * last))
    history = client.get_metric_history(run.info.run_id, "train/loss")
    assert [point.step for point in history] == [10, 20]  # 30 will be repeated
    assert lines(folder) == ["a: up to date"]


def test_a_run_at_work_is_left_to_its_process(
    client: MlflowClient, tmp_path: Path, config: RunConfig
) -> None:
    folder = tmp_path / "a"
    with Tracker.open(folder, config=config, tags={}) as tracker:
        MetricsFile(folder / "metrics.jsonl").append(10, {"train/loss": 1.0})
        with only_one(folder, "run"):
            assert lines(folder) == ["a: under way, its own process keeps MLflow up to date"]
        assert tracker.run_id is not None
        assert client.get_run(tracker.run_id).info.status == "RUNNING"


def test_what_a_lost_store_had_is_brought_again(
    client: MlflowClient, offline: Callable[..., Path]
) -> None:
    folder = offline("a")
    lines(folder)
    first = run_of(client, folder)
    client.delete_run(first.info.run_id)
    assert lines(folder) == [
        "a: a new run with its settings, status FINISHED, 3 epochs, 2 figures, 1 picture, the model"
    ]
    second = run_of(client, folder)
    assert second.info.run_id != first.info.run_id
    assert len(second.outputs.model_outputs) == 1


def test_a_run_set_aside_keeps_its_own_pictures(
    client: MlflowClient, offline: Callable[..., Path], tmp_path: Path
) -> None:
    aside = offline("a").rename(tmp_path / "runs/a.before-20250101-120000")
    folder = offline("a")
    (folder / "evaluations/tsne.png").write_bytes(b"another picture")
    lines(aside, folder)
    pictures = [
        content(client, each, tmp_path / "scratch")["files"]["pictures/step-00000030/tsne.png"]
        for each in (aside, folder)
    ]
    assert pictures == [b"picture of a", b"another picture"]


@pytest.mark.parametrize(
    ("file", "damage", "message"),
    [
        ("run.json", b'{"about"', "{path} is damaged (Invalid JSON"),
        ("run.json", None, "{folder} holds no run: run.json is missing"),
        ("metrics.jsonl", b'{"step": 10}\n', "{path} is damaged (2 validation errors for Record"),
        ("evaluations.jsonl", b"\xff\xff\n", "{path} is damaged ('utf-8' codec can't decode"),
        ("config.yaml", None, "[Errno 2] No such file or directory: '{path}'"),
    ],
)
def test_a_damaged_run_is_named_and_the_others_go_on(
    file: str,
    damage: bytes | None,
    message: str,
    client: MlflowClient,
    offline: Callable[..., Path],
) -> None:
    folders = [offline(name) for name in ("a", "b", "c")]
    path = folders[1] / file
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage)
    expected = message.format(path=path, folder=folders[1])
    said = _lines_until_failure(folders, "^1 of 3 runs skipped, see above$")
    assert [line.partition(": ")[0] for line in said] == ["a", "b", "c"]
    assert said[1].startswith(f"b: skipped: {expected}") and "\n" not in said[1]
    for folder in (folders[0], folders[2]):
        assert run_of(client, folder).info.status == "FINISHED"
        assert len(run_of(client, folder).outputs.model_outputs) == 1


def test_an_unknown_method_leaves_the_rest(
    client: MlflowClient, offline: Callable[..., Path]
) -> None:
    folder = offline("a")
    path = folder / "checkpoints/step-00000030/checkpoint.json"
    about = json.loads(path.read_text())
    about["config"]["name"] = "gone"
    path.write_text(json.dumps(about))
    said = _lines_until_failure([folder], "1 of 1 runs skipped")
    assert said[0].startswith("a: skipped: no method named 'gone'")
    assert run_of(client, folder).info.status == "FINISHED"
    assert len(client.get_metric_history(run_of(client, folder).info.run_id, "train/loss")) == 3


def _lines_until_failure(folders: Sequence[Path], message: str) -> list[str]:
    said = []
    with pytest.raises(SkelrayError, match=message):
        for line in sync(folders):
            said.append(line)
    return said


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


CHANGES = (
    *("create_run", "update_run", "set_terminated", "log_batch", "log_artifact", "log_dict"),
    *("create_experiment", "create_logged_model", "log_model_artifacts", "set_logged_model_tags"),
    *("log_outputs", "finalize_logged_model"),
)


@pytest.fixture
def killed_after(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """`killed_after(3)`: the process dies after the third change to MLflow or run.json."""
    left = [0]

    def dying(call: Callable[..., Any]) -> Callable[..., Any]:
        def changed(*args: Any, **kwargs: Any) -> Any:
            result = call(*args, **kwargs)
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            return result

        return changed

    for name in CHANGES:
        monkeypatch.setattr(MlflowClient, name, dying(getattr(MlflowClient, name)))
    monkeypatch.setattr(RunFile, "write", dying(RunFile.write))

    def arm(changes: int) -> None:
        left[0] = changes

    yield arm


def test_kills_at_every_change_leave_no_duplicate_and_no_gap(
    client: MlflowClient,
    offline: Callable[..., Path],
    killed_after: Callable[[int], None],
    tmp_path: Path,
) -> None:
    original = offline("a")

    def another() -> Path:
        """The same run, as another one."""
        folder = Path(shutil.copytree(original, tmp_path / "copies/a", dirs_exist_ok=True))
        file = RunFile.read(folder)
        file.key = uuid.uuid4().hex
        file.write(folder)
        return folder

    (said,) = lines(folder := another())
    whole = content(client, folder, tmp_path / "scratch")
    kills = 0
    while True:
        folder = another()
        killed_after(kills + 1)
        try:
            assert lines(folder) == [said]
        except Killed:
            kills += 1
        else:
            break
        lines(folder)
        assert content(client, folder, tmp_path / "scratch") == whole, f"killed after {kills}"
        assert lines(folder) == ["a: up to date"]
    assert kills > 15


def test_a_store_that_is_away_is_one_line(
    offline: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = offline("a")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", AWAY)
    with pytest.raises(SkelrayError) as raised:
        lines(folder)
    assert str(raised.value) == (
        f"MLflow at {AWAY} does not answer ([Errno 111] Connection refused): give the same command "
        "again when it is back"
    )


def test_folders_with_nothing_but_locks_are_no_runs(
    offline: Callable[..., Path], runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offline("b")
    offline("a.before-20250101-120000")
    with only_one(runs / "refused", "run"):
        pass
    monkeypatch.setenv("SKELRAY_HOME", str(tmp_path))
    assert [folder.name for folder in run_folders()] == ["a.before-20250101-120000", "b"]
