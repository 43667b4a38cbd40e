from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from mlflow import MlflowClient
from mlflow.entities import LoggedModelStatus
from PIL import Image

from skelray.platform.config import RunConfig
from skelray.platform.errors import DataError
from skelray.platform.method import Method
from skelray.platform.tracking import connection, store
from skelray.platform.tracking.run_file import RunFile, Status
from skelray.platform.tracking.tracker import Tracker
from skelray.platform.training.checkpoint import Checkpoint
from skelray.platform.training.metrics import MetricsFile

TAGS = {"data_version": "v1", "recipe": "small"}


def open_tracker(folder: Path, config: RunConfig) -> Tracker:
    return Tracker.open(folder, config=config, tags=TAGS)


def history(client: MlflowClient, run_id: str | None, name: str) -> list[tuple[int, float]]:
    assert run_id is not None
    return [(point.step, point.value) for point in client.get_metric_history(run_id, name)]


def artifacts(client: MlflowClient, run_id: str | None, folder: str = "") -> set[str]:
    assert run_id is not None
    return {file.path for file in client.list_artifacts(run_id, folder or None)}


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


def fail(*args: object, **kwargs: object) -> None:
    raise ConnectionError("gone")


def test_run_describes_itself(client: MlflowClient, tmp_path: Path, config: RunConfig) -> None:
    with open_tracker(tmp_path, config) as tracker:
        assert tracker.run_id is not None
        run = client.get_run(tracker.run_id)
        assert run.info.status == "RUNNING"
    assert client.get_experiment(run.info.experiment_id).name == "synthetic_xsub"
    assert run.info.run_name == f"skeletonclr-{config.identity('v1')[:6]}"
    assert run.data.params == {key: str(value) for key, value in config.flat().items()}
    expected = {"method": "skeletonclr", "dataset": "synthetic", "protocol": "xsub", "seed": "3"}
    expected |= {"stage": "pretrain", "stream": config.method.stream, **TAGS}
    assert expected.items() <= run.data.tags.items()
    whole = client.download_artifacts(tracker.run_id, "config.yaml", str(tmp_path))
    assert yaml.safe_load(Path(whole).read_text()) == config.model_dump(mode="json")
    machine = client.download_artifacts(tracker.run_id, "environment.json", str(tmp_path))
    assert {"mlflow", "torch", "ray"} <= json.loads(Path(machine).read_text())["packages"].keys()


def test_records_arrive_with_their_own_step_and_time(
    client: MlflowClient, tmp_path: Path, config: RunConfig
) -> None:
    file = MetricsFile(tmp_path / "metrics.jsonl")
    for step in range(1, 7):
        file.append(step * 10, {"train/loss": 1 / step, "train/lr": 0.1}, epoch=step)
    with open_tracker(tmp_path, config) as tracker:
        tracker.sync(40)  # the newest checkpoint
        early = history(client, tracker.run_id, "train/loss")
        tracker.sync(60)
        points = client.get_metric_history(tracker.run_id, "train/loss")
    assert early == [(step * 10, 1 / step) for step in range(1, 5)]
    assert [(p.step, p.value) for p in points] == [(step * 10, 1 / step) for step in range(1, 7)]
    assert [p.timestamp for p in points] == [round(1000 * r["time"]) for r in file.read()]


def test_pictures_of_training_arrive_by_step_and_once(
    client: MlflowClient, tmp_path: Path, config: RunConfig
) -> None:
    file = MetricsFile(tmp_path / "metrics.jsonl")
    for step in (10, 20):
        name = f"embeddings/tsne-joint-step-{step:08d}.png"
        (tmp_path / "embeddings").mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name)
        file.append(step, {"train/loss": 1.0}, pictures=[name])
    with open_tracker(tmp_path, config) as tracker:
        tracker.sync(10)
    kept = RunFile.read(tmp_path)
    for stored in kept.stores.values():
        stored.metrics_step = -1  # as after a kill between the picture and the note of it
    kept.write(tmp_path)
    with open_tracker(tmp_path, config) as again:
        again.sync(20)
    found = [re.split("[+%]", name) for name in artifacts(client, again.run_id, "images")]
    whole = [name for name in found if not name[-1].startswith("compressed")]
    assert sorted((name[0], name[2]) for name in whole) == [
        ("images/tsne-joint", "10"),
        ("images/tsne-joint", "20"),
    ]


def test_more_points_than_a_request_may_hold(
    client: MlflowClient, tmp_path: Path, config: RunConfig
) -> None:
    file = MetricsFile(tmp_path / "metrics.jsonl")
    for step in range(1, 24):
        file.append(step, {f"train/figure_{number}": step for number in range(50)})
    with open_tracker(tmp_path, config) as tracker:
        tracker.sync(23)
    assert history(client, tracker.run_id, "train/figure_49") == [(s, s) for s in range(1, 24)]


def test_restart_goes_on_with_the_run_and_repeats_nothing(
    client: MlflowClient, tmp_path: Path, config: RunConfig
) -> None:
    file = MetricsFile(tmp_path / "metrics.jsonl")
    for step in (10, 20, 30):
        file.append(step, {"train/loss": float(step)})
    with pytest.raises(KeyboardInterrupt), open_tracker(tmp_path, config) as first:
        first.sync(20)
        raise KeyboardInterrupt
    assert client.get_run(first.run_id).info.status == "KILLED"

    file.cut_after(20)  # what the loop does when it goes on from the checkpoint of step 20
    changed = config.model_copy(
        update={"training": config.training.model_copy(update={"workers": 2})}
    )
    with open_tracker(tmp_path, changed) as second:
        assert second.run_id == first.run_id
        assert client.get_run(second.run_id).info.status == "RUNNING"
        for step in (30, 40):
            file.append(step, {"train/loss": float(step)})
        second.sync(40)
    assert history(client, second.run_id, "train/loss") == [(s, float(s)) for s in (10, 20, 30, 40)]
    run = client.get_run(second.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["training.workers"] == "1"  # the files below say 2
    whole = client.download_artifacts(second.run_id, "config.yaml", str(tmp_path))
    assert yaml.safe_load(Path(whole).read_text())["training"]["workers"] == 2


@pytest.mark.parametrize(
    ("error", "status"),
    [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED"), (SystemExit, "KILLED")],
)
def test_status_of_a_run_that_ends_early(
    error: type[BaseException],
    status: str,
    client: MlflowClient,
    tmp_path: Path,
    config: RunConfig,
) -> None:
    with pytest.raises(error), open_tracker(tmp_path, config) as tracker:
        raise error
    assert client.get_run(tracker.run_id).info.status == status


def test_evaluation_is_logged_once(
    client: MlflowClient, tmp_path: Path, config: RunConfig, caplog: pytest.LogCaptureFixture
) -> None:
    picture = tmp_path / "tsne.png"
    picture.write_bytes(b"picture")
    for figures in ({"eval/knn1/top1": 50.0}, {"eval/knn1/top1": 51.0, "eval/linear/top1": 60.0}):
        with open_tracker(tmp_path, config) as tracker:
            tracker.log_evaluation(40, figures, [picture])
    assert history(client, tracker.run_id, "eval/knn1/top1") == [(40, 50.0)]
    assert history(client, tracker.run_id, "eval/linear/top1") == [(40, 60.0)]
    assert "eval/knn1/top1 at step 40 was 50 before and is 51 now" in caplog.text
    assert artifacts(client, tracker.run_id, "pictures/step-00000040") == {
        "pictures/step-00000040/tsne.png"
    }
    file = client.download_artifacts(
        tracker.run_id, "evaluations/step-00000040.json", str(tmp_path)
    )
    logged = json.loads(Path(file).read_text())
    assert logged == {"eval/knn1/top1": 50.0, "eval/linear/top1": 60.0}


def test_model_is_listed_once_with_its_figures(
    client: MlflowClient,
    tmp_path: Path,
    config: RunConfig,
    method: Method,
    save: Callable[[int], Checkpoint],
) -> None:
    saved = save(40)
    with open_tracker(tmp_path, config) as tracker:
        tracker.log_evaluation(40, {"eval/knn1/top1": 50.0})
        tracker.log_model(method, saved, {"eval/knn1/top1": 50.0})
    with open_tracker(tmp_path, config) as tracker:  # evaluated further after a restart
        tracker.log_model(method, saved, {"eval/knn1/top1": 50.0, "eval/linear/top1": 60.0})
    run = client.get_run(tracker.run_id)
    models = [
        model
        for model in client.search_logged_models([run.info.experiment_id])
        if model.source_run_id == tracker.run_id
    ]
    assert [model.status for model in models] == [LoggedModelStatus.READY]
    assert models[0].name == f"{run.info.run_name}-step40"
    figures = {metric.key: metric.value for metric in models[0].metrics}
    assert figures == {"eval/knn1/top1": 50.0, "eval/linear/top1": 60.0}
    assert len(models[0].metrics) == 2
    assert f'load_model("models:/{models[0].model_id}")' in models[0].tags["mlflow.note.content"]
    assert [output.model_id for output in run.outputs.model_outputs] == [models[0].model_id]
    assert history(client, tracker.run_id, "eval/knn1/top1") == [(40, 50.0)]


@pytest.mark.parametrize(
    ("before", "kept"),
    [("FINISHED", "FINISHED"), ("KILLED", "KILLED"), ("RUNNING", "KILLED"), (None, "FAILED")],
)
def test_another_evaluation_does_not_decide_how_the_run_has_ended(
    before: Status | None, kept: str, client: MlflowClient, tmp_path: Path, config: RunConfig
) -> None:
    """A run that says RUNNING, though nobody works on it, was killed; a new one has no past."""
    if before is not None:
        with open_tracker(tmp_path, config):
            pass
        file = RunFile.read(tmp_path)
        file.status = before
        file.write(tmp_path)
    for error in (ValueError, KeyError):  # and it stays so
        with (
            pytest.raises(error),
            Tracker.open(tmp_path, config=config, tags=TAGS, keep_status=True) as tracker,
        ):
            assert tracker.run_id is not None
            assert client.get_run(tracker.run_id).info.status == "RUNNING"
            raise error
        assert client.get_run(tracker.run_id).info.status == kept


def test_a_run_that_cannot_be_opened_has_failed(
    client: MlflowClient, tmp_path: Path, config: RunConfig
) -> None:
    with open_tracker(tmp_path, config) as first:
        pass
    (tmp_path / "evaluations.jsonl").write_text('{"step": 1}\n')
    with pytest.raises(DataError, match=r"evaluations.jsonl is damaged"):
        open_tracker(tmp_path, config)
    assert first.run_id is not None
    assert RunFile.read(tmp_path).status == "FAILED"
    assert client.get_run(first.run_id).info.status == "FAILED"


def test_what_comes_after_the_end_is_brought_and_leaves_the_status(
    client: MlflowClient,
    tmp_path: Path,
    config: RunConfig,
    method: Method,
    save: Callable[[int], Checkpoint],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """SIGTERM: the watching thread ends the run while the main thread still trains."""
    monkeypatch.setattr(connection, "PAUSE", 0.0)
    file = MetricsFile(tmp_path / "metrics.jsonl")
    with open_tracker(tmp_path, config) as tracker:
        assert tracker.run_id is not None
        tracker.finish("KILLED")
        ended = client.get_run(tracker.run_id).info
        file.append(10, {"train/loss": 1.0})
        tracker.sync(10)
        assert history(client, tracker.run_id, "train/loss") == [(10, 1.0)]
        with monkeypatch.context() as outage:
            outage.setattr(MlflowClient, "log_batch", fail)
            file.append(20, {"train/loss": 0.5})
            tracker.sync(20)
        tracker.log_evaluation(20, {"eval/knn1/top1": 50.0})
        assert client.get_run(tracker.run_id).info.status == "KILLED"
        tracker.log_model(method, save(20), {"eval/knn1/top1": 50.0})
    assert history(client, tracker.run_id, "train/loss") == [(10, 1.0), (20, 0.5)]
    assert history(client, tracker.run_id, "eval/knn1/top1") == [(20, 50.0)]
    run = client.get_run(tracker.run_id)
    assert (run.info.status, run.info.end_time) == ("KILLED", ended.end_time)
    assert len(run.outputs.model_outputs) == 1


def test_end_of_the_run_brings_what_an_outage_kept_back(
    client: MlflowClient,
    tmp_path: Path,
    config: RunConfig,
    method: Method,
    save: Callable[[int], Checkpoint],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    MetricsFile(tmp_path / "metrics.jsonl").append(10, {"train/loss": 1.0})
    tracker = open_tracker(tmp_path, config)
    with monkeypatch.context() as outage:
        outage.setattr(MlflowClient, "log_batch", fail)
        tracker.sync(10)
        tracker.log_model(method, save(10), {"eval/knn1/top1": 50.0})
    tracker.finish("FINISHED")
    assert history(client, tracker.run_id, "train/loss") == [(10, 1.0)]
    assert history(client, tracker.run_id, "eval/knn1/top1") == [(10, 50.0)]
    run = client.get_run(tracker.run_id)
    assert run.info.status == "FINISHED" and len(run.outputs.model_outputs) == 1
    assert warnings(caplog) == [
        f"MLflow at {store.tracking_uri()} cannot be written (gone): the run goes on and keeps its "
        f"numbers in {tmp_path}"
    ]


def test_status_is_set_even_where_mlflow_refuses_a_figure(
    client: MlflowClient, tmp_path: Path, config: RunConfig, caplog: pytest.LogCaptureFixture
) -> None:
    with open_tracker(tmp_path, config) as tracker:
        tracker.log_evaluation(10, {"top1@5": 50.0})
    assert tracker.run_id is not None
    assert client.get_run(tracker.run_id).info.status == "FINISHED"
    assert 'Invalid value "top1@5"' in caplog.text
    assert f"run: skelray sync {tmp_path}" in caplog.text


def test_full_disk_at_the_end_keeps_nothing_from_mlflow(
    client: MlflowClient, tmp_path: Path, config: RunConfig
) -> None:
    with open_tracker(tmp_path, config) as tracker:
        # where run.json is written before it replaces the old one
        (tmp_path / f".run.json.{os.getpid()}").symlink_to("/dev/full")
    assert tracker.run_id is not None
    assert client.get_run(tracker.run_id).info.status == "FINISHED"
    assert RunFile.read(tmp_path).status == "RUNNING"


def test_lost_store_is_filled_again(
    client: MlflowClient, tmp_path: Path, config: RunConfig
) -> None:
    MetricsFile(tmp_path / "metrics.jsonl").append(10, {"train/loss": 1.0})
    with open_tracker(tmp_path, config) as first:
        first.sync(10)
        first.log_evaluation(10, {"eval/knn1/top1": 50.0})
    client.delete_run(first.run_id)
    with open_tracker(tmp_path, config) as second:
        second.sync(10)
    assert second.run_id != first.run_id
    assert history(client, second.run_id, "train/loss") == [(10, 1.0)]
    assert history(client, second.run_id, "eval/knn1/top1") == [(10, 50.0)]


def test_unreachable_store_stops_nothing(
    tmp_path: Path,
    config: RunConfig,
    method: Method,
    save: Callable[[int], Checkpoint],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    MetricsFile(tmp_path / "metrics.jsonl").append(10, {"train/loss": 1.0})
    began = time.monotonic()
    with open_tracker(tmp_path, config) as tracker:
        for _ in range(50):
            tracker.sync(10)
        tracker.log_evaluation(10, {"eval/knn1/top1": 50.0})
        tracker.log_model(method, save(10), {"eval/knn1/top1": 50.0})
    assert time.monotonic() - began < 10
    assert tracker.run_id is None
    assert warnings(caplog) == [
        "MLflow at http://127.0.0.1:9 cannot be written ([Errno 111] Connection refused): the run "
        f"goes on and keeps its numbers in {tmp_path}",
        "MLflow at http://127.0.0.1:9 lacks part of this run; when it is back, run: "
        f"skelray sync {tmp_path}",
    ]


def test_what_an_outage_missed_is_brought_later(
    client: MlflowClient, tmp_path: Path, config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "PAUSE", 0.0)
    file = MetricsFile(tmp_path / "metrics.jsonl")
    file.append(10, {"train/loss": 1.0})
    with open_tracker(tmp_path, config) as tracker:
        with monkeypatch.context() as outage:
            outage.setattr(MlflowClient, "log_batch", fail)
            tracker.sync(10)
            tracker.log_evaluation(10, {"eval/knn1/top1": 50.0})
        assert history(client, tracker.run_id, "train/loss") == []
        file.append(20, {"train/loss": 0.5})
        tracker.sync(20)
    assert history(client, tracker.run_id, "train/loss") == [(10, 1.0), (20, 0.5)]
    assert history(client, tracker.run_id, "eval/knn1/top1") == [(10, 50.0)]


def test_machine_is_sampled_while_the_run_is_open(
    client: MlflowClient, tmp_path: Path, config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")
    for samples in (2, 4):  # a restart goes on counting
        with open_tracker(tmp_path, config) as tracker:
            for _ in range(200):
                points = history(client, tracker.run_id, "system/cpu_utilization_percentage")
                if len(points) >= samples:
                    break
                time.sleep(0.05)
    points = history(client, tracker.run_id, "system/cpu_utilization_percentage")
    assert [step for step, _ in points] == list(range(len(points)))
    assert len(points) >= 4
    time.sleep(0.3)
    assert len(points) == len(history(client, tracker.run_id, "system/cpu_utilization_percentage"))
