"""What a failed attempt to train means: another attempt, or one line that ends the run. No Ray."""

from __future__ import annotations

import errno
from pathlib import Path
from unittest.mock import Mock

import pytest
from ray.exceptions import ActorDiedError
from ray.train import ControllerError, WorkerGroupError

from skelray.platform.config import resolve
from skelray.platform.errors import CheckpointError, SkelrayError
from skelray.platform.training import ray_train, ray_worker
from skelray.platform.training.ray_train import _reason
from skelray.platform.training.step import LossNotFiniteError, NotFiniteError


def failed(*failures: Exception) -> WorkerGroupError:
    return WorkerGroupError("as Ray words it", dict(enumerate(failures)))


RANK_ONE = {"get_world_rank.return_value": 1}


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (ActorDiedError(), "training worker 0 has died"),
        (RuntimeError("CUDA error"), "training worker 0 has failed, CUDA error"),
    ],
)
def test_what_may_pass_is_tried_again(failure: Exception, reason: str) -> None:
    assert _reason(failed(failure)) == reason


def test_a_dead_controller_is_tried_again() -> None:
    assert _reason(ActorDiedError()) == "the training controller has died"
    assert _reason(ControllerError(OSError("no worker\nat all"))) == (
        "the training workers could not be started (OSError: no worker)"
    )
    assert _reason(failed(RuntimeError("closed"), ActorDiedError())) == (
        "training worker 1 has died"
    )


@pytest.mark.parametrize(
    "failure", [ValueError("a slip"), OSError(errno.ENOSPC, "No space left on device", "x")]
)
def test_what_would_fail_again_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def slip(*_: object) -> None:
        raise failure

    monkeypatch.setattr(ray_worker, "_train", slip)
    monkeypatch.setattr(ray_worker.ray.train, "get_context", lambda: Mock(**RANK_ONE))
    with pytest.raises(SkelrayError) as ended:
        ray_worker.work({"folder": str(tmp_path)})
    said, log = str(ended.value), tmp_path / "logs" / "worker-1.log"
    assert said.startswith(f"training worker 1 has failed, {type(failure).__name__}: {failure} (")
    assert "(test_ray_train.py, line " in said and said.endswith(f"; traceback in {log}")
    assert "Traceback (most recent call last)" in log.read_text()
    with pytest.raises(SkelrayError, match="training worker 1 has failed"):
        _reason(failed(RuntimeError("closed by peer"), ended.value))


def test_what_may_pass_keeps_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def shapes(*_: object) -> None:
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(ray_worker, "_train", shapes)
    monkeypatch.setattr(ray_worker.ray.train, "get_context", lambda: Mock(**RANK_ONE))
    with pytest.raises(
        RuntimeError, match=r"RuntimeError: shapes .* \(test_ray_train.py, line \d+"
    ):
        ray_worker.work({"folder": str(tmp_path)})


def test_lacking_room_is_said_once_and_waited_for_in_vain_only_so_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = resolve("skeletonclr", "synthetic", ["training.patience=10"])
    cluster = {"missing": "", "now": 0.0}
    monkeypatch.setattr(ray_train.cluster, "lack", lambda *_, **__: cluster["missing"])
    monkeypatch.setattr(ray_train.time, "monotonic", lambda: cluster["now"])
    room = ray_train._Room(config, 0.0)

    def look(now: float, missing: str) -> str:
        cluster.update(now=now, missing=missing)
        room.look()
        return capsys.readouterr().out

    said = "waiting for nodes, at most 10 s: no CPU\n"
    moments = [(1, ""), (3, "no CPU"), (5, "no CPU"), (12, "no CPU"), (14, "")]
    assert [look(*moment) for moment in moments] == ["", said, "", "", ""]
    assert [look(16, "no CPU"), look(26, "no CPU")] == [said, ""]
    with pytest.raises(SkelrayError, match="no node has come within 10 s: no CPU, or give the sam"):
        look(28, "no CPU")


def test_the_rank_that_knows_the_samples_speaks() -> None:
    gradient = NotFiniteError("the gradient's norm is nan in phase pretrain")
    loss = LossNotFiniteError("the loss is nan in phase pretrain; samples a, b")
    with pytest.raises(NotFiniteError, match="samples a, b"):
        _reason(failed(gradient, loss))
    with pytest.raises(CheckpointError, match="is damaged"):
        _reason(failed(RuntimeError("closed"), CheckpointError("x is damaged")))
