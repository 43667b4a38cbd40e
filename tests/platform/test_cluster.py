"""What is asked of Ray before work begins, and what its workers are told."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster

from skelray.platform import cluster
from skelray.platform.errors import UsageError

Offers = tuple[float, float]  # CPUs and GPUs of a node


def node(
    offers: Offers, *, alive: bool = True, leaving: bool = False, **labels: str
) -> dict[str, Any]:
    """A node as `ray.nodes()` lists it: what it has none of is not named."""
    resources = {name: n for name, n in zip(("CPU", "GPU"), offers, strict=True) if n}
    about = {"NodeID": "leaving" if leaving else "there", "Alive": alive, "Labels": labels}
    return {**about, "Resources": {"memory": 1e9, **resources}}


@pytest.fixture
def joined(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[list[dict[str, Any]]], None]:
    """`joined(nodes)`: Ray is connected to a cluster of these nodes."""
    monkeypatch.setenv("SKELRAY_HOME", str(tmp_path / "home"))

    def join(nodes: list[dict[str, Any]]) -> None:
        monkeypatch.setattr(ray, "is_initialized", lambda: True)
        monkeypatch.setattr(ray, "nodes", lambda: nodes)
        monkeypatch.setattr(cluster, "_leaving", lambda: {"leaving": 0})

    return join


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No Ray is there, and where it is started it finds two CPUs."""
    monkeypatch.setenv("SKELRAY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RAY_OVERRIDE_RESOURCES", json.dumps({"CPU": 2, "GPU": 0}))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def test_variables_that_a_submitted_job_sets_are_not_set_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ray refuses a job whose driver names a variable that the job's own environment names."""
    monkeypatch.setenv("SKELRAY_HOME", "/shared/skelray")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")
    monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR", raising=False)
    alone = cluster._environment()["env_vars"]
    assert alone["SKELRAY_HOME"] == "/shared/skelray"
    assert alone["MLFLOW_TRACKING_URI"] == "http://tracking:5000"

    job = {"runtime_env": {"env_vars": {"SKELRAY_HOME": "/shared/skelray"}}}
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps(job))
    submitted = cluster._environment()["env_vars"]
    assert "SKELRAY_HOME" not in submitted
    assert submitted["MLFLOW_TRACKING_URI"] == "http://tracking:5000"


def test_workers_get_the_home_as_it_is_seen_from_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """They run in folders of Ray's, where a relative path leads elsewhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SKELRAY_HOME", "home")
    monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR", raising=False)
    assert cluster._environment()["env_vars"]["SKELRAY_HOME"] == str(tmp_path / "home")


@pytest.mark.parametrize(
    ("offers", "asked", "workers", "cpus", "given"),
    [
        ([(2, 0)], None, 1, 1, 0.0),
        ([(2, 2)], None, 2, 1, 1.0),
        ([(2, 1)], None, 2, 1, 0.0),
        ([(4, 1), (4, 1)], None, 2, 1, 1.0),
        ([(2, 4)], None, 4, 1, 0.0),  # enough GPUs, on a node with too few CPUs beside them
        ([(2, 4)], None, 4, 0.5, 1.0),
        ([(2, 4)], 0.0, 1, 1, 0.0),
        ([(2, 1)], 0.5, 2, 1, 0.5),
    ],
)
def test_gpus_are_used_where_each_worker_can_have_one(
    joined: Callable[..., None],
    offers: list[Offers],
    asked: float | None,
    workers: int,
    cpus: float,
    given: float,
) -> None:
    joined([node(one) for one in offers])
    assert cluster.gpus_per_worker(asked, workers, cpus) == given


@pytest.mark.parametrize(
    ("offers", "most", "asked"),
    [
        ([(2, 0)], 2, {"cpus": 1}),
        ([(2, 0)], 20, {"cpus": 0.1}),
        ([(0.3, 0)], 3, {"cpus": 0.1}),  # 0.3 / 0.1 is below 3
        ([(2, 0), (2, 0)], 4, {"cpus": 1}),
        ([(3, 0), (3, 0)], 2, {"cpus": 2}),  # six CPUs, of which two are left over
        ([(8, 4), (8, 0)], 4, {"cpus": 1, "gpus": 1}),
        ([(8, 4), (8, 3)], 3, {"cpus": 1, "gpus": 2}),
        ([(8, 2)], 4, {"cpus": 1, "gpus": 0.4}),  # two on each GPU
        ([(1, 2)], 1, {"cpus": 1, "gpus": 0.5}),
        ([(2, 0)], 1, {"cpus": 1, "reading": 0.1}),
        ([(2, 0)], 2, {"cpus": 0.9, "reading": 0.1}),
        ([(2, 0), (2, 0)], 1, {"cpus": 2, "reading": 0.1}),  # read on the other node
    ],
)
def test_as_many_workers_pass_as_ray_can_place(
    joined: Callable[..., None], offers: list[Offers], most: int, asked: dict[str, float]
) -> None:
    gone = [node((64, 8), alive=False), node((64, 8), leaving=True)]
    joined([*(node(one) for one in offers), *gone])
    cluster.require_room("training", workers=most, **asked)
    with pytest.raises(UsageError, match=f"there is room for {most} .*: set training.workers="):
        cluster.require_room("training", workers=most + 1, **asked)


@pytest.mark.parametrize(
    ("offers", "asked", "line"),
    [
        (
            [(2, 0), (2, 0)],
            {"workers": 1, "cpus": 3},
            "training needs 1 worker with 3 CPUs, there is room for none (2 nodes with 2 CPUs "
            "and 0 GPUs): set training.cpus_per_worker=2",
        ),
        (
            [(8, 0), (4, 1)],
            {"workers": 3, "cpus": 1, "gpus": 1},
            "training needs 3 workers with 1 CPU and 1 GPU each, there is room for 1 (1 node with "
            "8 CPUs and 0 GPUs, 1 node with 4 CPUs and 1 GPU): set training.workers=1",
        ),
        (
            [(2, 0)],
            {"workers": 1, "cpus": 1, "gpus": 1},
            "training needs 1 worker with 1 CPU and 1 GPU, there is room for none (1 node with 2 "
            "CPUs and 0 GPUs): set training.gpus_per_worker=0",
        ),
        (
            [(64, 0), (2, 4)],
            {"workers": 1, "cpus": 4, "gpus": 1},
            "training needs 1 worker with 4 CPUs and 1 GPU, there is room for none (1 node "
            "with 64 CPUs and 0 GPUs, 1 node with 2 CPUs and 4 GPUs): set "
            "training.cpus_per_worker=2",
        ),
        (
            [(1, 0)],
            {"workers": 1, "cpus": 1, "reading": 0.1},
            "training needs 1 worker with 1 CPU and 0.1 CPUs to read, there is room for none "
            "(1 node with 1 CPU and 0 GPUs): set training.cpus_per_worker=0.9",
        ),
        (
            [(0, 0)],
            {"workers": 2, "cpus": 0.5},
            "training needs 2 workers with 0.5 CPUs each, there is room for none (1 node with 0 "
            "CPUs and 0 GPUs): start nodes with CPUs",
        ),
        (
            [(8, 8)],
            {"workers": 1, "cpus": 1, "gpus": 1.5},
            "training.gpus_per_worker=1.5: give a whole number, or a part of one",
        ),
    ],
)
def test_a_refusal_says_what_there_is_and_the_nearest_that_fits(
    joined: Callable[..., None], offers: list[Offers], asked: dict[str, Any], line: str
) -> None:
    joined([node(one) for one in offers])
    with pytest.raises(UsageError) as refused:
        cluster.require_room("training", **asked)
    assert str(refused.value) == line


def test_what_a_launcher_may_still_start_is_waited_for(
    joined: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    joined([node((8, 0), **{"ray.io/node-group": "head"})])
    cluster.require_room("training", workers=8, cpus=1)
    assert not caplog.records
    cluster.require_room("training", workers=4, cpus=1, gpus=1)
    (line,) = caplog.messages
    assert line.startswith("training needs 4 workers with 1 CPU and 1 GPU each, there is room for")
    assert line.endswith(": set training.gpus_per_worker=0, unless the cluster starts nodes")
    assert cluster.gpus_per_worker(None, 4, 1.0) == 0.0  # only what is there now


@pytest.mark.parametrize(
    ("address", "order"), [("", ["check"]), ("10.0.0.1:6379", ["start", "check", "end"])]
)
def test_room_is_asked_before_ray_starts_here_and_after_it_has_joined(
    no_ray: None, monkeypatch: pytest.MonkeyPatch, address: str, order: list[str]
) -> None:
    happened: list[str] = []
    monkeypatch.setenv("RAY_ADDRESS", address)
    monkeypatch.setattr(ray, "init", lambda **_: happened.append("start"))
    monkeypatch.setattr(ray, "shutdown", lambda: happened.append("end"))

    def refuse() -> None:
        happened.append("check")
        raise UsageError("too little")

    with pytest.raises(UsageError, match="too little"), cluster.connected(refuse):
        happened.append("work")
    assert happened == order


def test_room_is_asked_where_ray_is_connected_already(joined: Callable[..., None]) -> None:
    joined([node((2, 0))])
    asked: list[bool] = []
    with cluster.connected(lambda: asked.append(True)):
        assert asked == [True]


def test_before_ray_is_there_its_own_count_of_the_machine_decides(
    no_ray: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.require_room("training", workers=2, cpus=1)
    with pytest.raises(UsageError, match="1 node with 2 CPUs and 0 GPUs"):
        cluster.require_room("training", workers=3, cpus=1)
    monkeypatch.delenv("RAY_OVERRIDE_RESOURCES")
    with pytest.raises(UsageError, match="1 node with"):
        cluster.require_room("training", workers=1, cpus=(os.cpu_count() or 1) + 1)


def test_a_home_is_made_where_it_can_be_and_refused_where_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    for name, reason in (("file", "File exists"), ("file/home", "Not a directory")):
        monkeypatch.setenv("SKELRAY_HOME", str(tmp_path / name))
        line = rf"^SKELRAY_HOME={tmp_path / name} cannot be written \({reason}\): set SKELRAY_HOME"
        with pytest.raises(UsageError, match=line), cluster.connected():
            pytest.fail("Ray was started")
    monkeypatch.setenv("SKELRAY_HOME", str(tmp_path / "new/home"))
    cluster.require_home()
    assert list((tmp_path / "new/home").iterdir()) == []


def test_one_line_of_rays_start_is_taken_out(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError), cluster._without_level_line():
        os.write(2, b"[I] Set ray log level from environment variable RAY_BACKEND_LOG_LEVEL to 3\n")
        os.write(2, b"what is wrong\n")
        raise RuntimeError
    os.write(2, b"and later\n")
    assert capfd.readouterr().err == "what is wrong\nand later\n"


@pytest.fixture
def two_nodes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cluster]:
    """A real cluster of two nodes with two CPUs each, in which this process is to join."""
    monkeypatch.setenv("SKELRAY_HOME", str(tmp_path))
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    nodes.add_node(num_cpus=2)
    nodes.wait_for_nodes()
    monkeypatch.setenv("RAY_ADDRESS", nodes.address)
    yield nodes
    nodes.shutdown()


@pytest.mark.slow
def test_a_real_cluster_is_asked_and_one_that_a_launcher_made_may_grow(
    two_nodes: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def ask() -> None:
        cluster.require_room("training", workers=4, cpus=1)
        cluster.require_room("training", workers=1, cpus=3)

    line = r"room for none \(2 nodes with 2 CPUs and 0 GPUs\): set training.cpus_per_worker=2"
    with pytest.raises(UsageError, match=line), cluster.connected(ask):
        pytest.fail("it had room")
    assert not ray.is_initialized()

    monkeypatch.setenv("RAY_NODE_TYPE_NAME", "cpu")  # as `ray up` starts a node
    two_nodes.add_node(num_cpus=1)
    two_nodes.wait_for_nodes()
    with caplog.at_level(logging.WARNING), cluster.connected(ask):
        assert "unless the cluster starts nodes" in caplog.text


@pytest.mark.slow
def test_ray_finds_here_what_was_counted_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKELRAY_HOME", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    counted = cluster._nodes()
    with cluster.connected():
        assert cluster._nodes() == counted
