"""The main job, hit as machines hit it: workers, drivers and nodes are killed, jobs preempted."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from ray.cluster_utils import Cluster

from tests.experiments import commands

pytestmark = pytest.mark.slow

EPOCHS, STEPS = 24, 6  # steps of an epoch
COMMAND = (
    *commands.TINY,
    "training.threads=1",  # sums are rounded otherwise by another number of threads
    "evaluation.baselines=false",
    "evaluation.pictures=false",
)
FULL = (*COMMAND, f"method.epochs={EPOCHS}")
KILLS = 20


class Home:
    """What one run has left below a SKELRAY_HOME."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def prepared(cls, path: Path, whole: Home) -> Home:
        """A home with the recordings of another, but nothing that was made by a run."""
        shutil.copytree(whole.path / "stores", path / "stores")
        shutil.copytree(
            whole.path / "caches", path / "caches", ignore=shutil.ignore_patterns("features")
        )
        return cls(path)

    @property
    def folder(self) -> Path:
        (folder,) = (self.path / "runs").iterdir()
        return folder

    def step(self) -> int:
        """Of the newest checkpoint; 0 before the first."""
        names = (f.name for f in self.path.glob("runs/*/checkpoints/step-*"))
        return max((int(name.removeprefix("step-")) for name in names), default=0)

    def reached(self, step: int) -> bool:
        return self.step() >= step

    def trained(self) -> bool:
        return self.step() == EPOCHS * STEPS

    def worker(self) -> int:
        """The process that trains."""
        return int((self.folder / ".training.holder").read_text().split()[1])

    def replaced(self, worker: int) -> bool:
        return self.worker() != worker

    def shown(self) -> float:
        """When the status was written last; 0 before the first time."""
        return max((f.stat().st_mtime for f in self.path.glob("runs/*/status.json")), default=0.0)

    def shown_after(self, moment: float) -> bool:
        return self.shown() > moment

    def measures(self) -> bool:
        """True where the newest start has come to its evaluation."""
        log = self.folder / "logs/driver.log"
        return "evaluating step-" in log.read_text().rpartition(" begun by ")[2]

    def state(self) -> dict[str, torch.Tensor]:
        file = self.folder / f"checkpoints/step-{EPOCHS * STEPS:08d}/state.pt"
        state: dict[str, torch.Tensor] = torch.load(file, weights_only=True)["method"]
        return state

    def losses(self) -> list[tuple[int, float]]:
        lines = (self.folder / "metrics.jsonl").read_text().splitlines()
        return [(r["step"], r["metrics"]["train/loss"]) for r in map(json.loads, lines)]

    def figures(self) -> dict[str, float]:
        (file,) = (self.folder / "evaluations").glob("*.json")
        figures: dict[str, float] = json.loads(file.read_text())["figures"]
        return figures

    def mlflow(self) -> tuple[str, list[tuple[int, float]]]:
        """Status and history of the loss of the only MLflow run."""
        from mlflow import MlflowClient

        client = MlflowClient(f"sqlite:///{self.path / 'mlflow.db'}")
        experiment = client.get_experiment_by_name("synthetic_xsub")
        assert experiment is not None
        (run,) = client.search_runs([experiment.experiment_id])
        points = client.get_metric_history(run.info.run_id, "train/loss")
        return run.info.status, [(point.step, point.value) for point in points]


def start(home: Home, *command: str, **further: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=commands.ROOT,
        env={**commands.environment(home.path), **further},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def until(process: subprocess.Popen[str], condition: Callable[..., bool], *given: Any) -> None:
    """Waits until the condition holds or the process has ended."""
    commands.wait_until(lambda: condition(*given) or process.poll() is not None)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """An uninterrupted run."""
    home = Home(tmp_path_factory.mktemp("whole"))
    done = commands.run(home.path, *FULL)
    assert done.returncode == 0, done.stderr
    return home


def assert_the_same(home: Home, whole: Home) -> None:
    """Weights, numbers, figures; in MLflow every epoch once."""
    state, expected = home.state(), whole.state()
    assert all(torch.equal(state[key], expected[key]) for key in expected)
    assert home.losses() == whole.losses()
    assert home.figures() == whole.figures()
    assert home.mlflow() == ("FINISHED", home.losses())


def test_a_killed_worker_is_replaced_and_a_second_command_refused(
    tmp_path: Path, whole: Home
) -> None:
    home = Home.prepared(tmp_path, whole)
    process = start(home, *FULL)
    for epoch in (3, 12):
        until(process, home.reached, epoch * STEPS)
        time.sleep(0.05)  # into the next epoch
        worker = home.worker()
        psutil.Process(worker).kill()
        until(process, home.replaced, worker)
    second = commands.run(tmp_path, *FULL)
    assert second.returncode == 2
    assert f"is under way (run in process {process.pid} on " in second.stderr
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert len(re.findall(r"training worker 0 has died: going on from step-\d+", output)) == 2
    assert "raylet" not in output + errors
    assert_the_same(home, whole)


@pytest.mark.timeout(1800)
def test_a_driver_killed_at_twenty_moments(tmp_path: Path, whole: Home) -> None:
    """At the start, in training, in evaluation; sometimes its orphaned worker trains on."""
    home, moments = Home.prepared(tmp_path, whole), random.Random(0)
    kills = in_evaluation = 0
    while kills < KILLS:
        goal = home.step() + moments.randint(1, 2) * STEPS
        if kills >= KILLS - 5:  # however slow the machine is: the last ones are for the evaluation
            goal = EPOCHS * STEPS
        at_start = moments.random() < 0.3 and kills < KILLS - 5
        process = start(home, *FULL)
        if at_start:
            time.sleep(moments.uniform(0.5, 14.0))
        elif not home.trained():
            until(process, home.reached, min(goal, EPOCHS * STEPS))
            time.sleep(moments.uniform(0.0, 0.5))
        else:
            until(process, home.measures)
            time.sleep(moments.uniform(0.0, 1.0))
        if process.poll() is None:
            in_evaluation += home.measures()
            kills += 1
        commands.kill(process, home.path, orphans=moments.random() < 0.7)
        process.communicate()
    assert in_evaluation > 1
    done = commands.run(home.path, *FULL)
    assert done.returncode == 0, done.stderr
    assert_the_same(home, whole)


def test_a_preempted_run_writes_a_last_checkpoint(tmp_path: Path, whole: Home) -> None:
    """Without it all would be lost: no checkpoint was due before the end."""
    home = Home.prepared(tmp_path, whole)
    rare = (*FULL, "training.checkpoint_every=1000")
    steps = []
    for number in (signal.SIGTERM, signal.SIGINT):
        process = start(home, *rare)
        until(process, home.shown_after, home.shown())
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does on Ctrl-C
        else:
            process.send_signal(number)
        output, errors = process.communicate(timeout=60)
        assert process.returncode == 128 + number, errors
        steps.append(home.step())
        assert f"stopped at step-{home.step():08d}: the same command goes on" in output
        assert home.mlflow()[0] == "KILLED"
    assert 0 < steps[0] < steps[1] < EPOCHS * STEPS
    assert steps[0] % STEPS or steps[1] % STEPS, "both fell on the end of an epoch: unlikely"
    done = commands.run(home.path, *rare)
    assert done.returncode == 0, done.stderr
    assert f"going on with {home.folder.name} from step-{steps[1]:08d}" in done.stdout
    assert_the_same(home, whole)


def test_a_loss_that_is_not_finite_ends_the_run_as_failed(tmp_path: Path, whole: Home) -> None:
    home = Home.prepared(tmp_path, whole)
    done = commands.run(tmp_path, *COMMAND, "method.epochs=4", "method.lr=1e30")
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert re.search(
        r"the (loss is|gradient's norm is) (nan|inf) in phase pretrain, epoch \d, step \d of 6; "
        r"samples S\d+C.*; last good checkpoint: ",
        line,
    )
    assert "Traceback" not in done.stderr
    assert "going on" not in done.stdout, "it would fail again"
    assert home.mlflow()[0] == "FAILED"


@pytest.mark.timeout(900)
def test_a_finished_run_adds_what_is_missing_and_starts_anew_when_asked(
    tmp_path: Path, whole: Home
) -> None:
    home, short = Home.prepared(tmp_path, whole), (*COMMAND, "method.epochs=2")
    process = start(home, *short)
    until(process, lambda: list(tmp_path.glob("runs/*")) and home.reached(2 * STEPS))
    process.send_signal(signal.SIGTERM)  # in the evaluation, or just before
    process.communicate(timeout=60)
    assert (process.returncode, home.mlflow()[0]) == (143, "KILLED")

    done = commands.run(tmp_path, *short)
    assert done.returncode == 0, done.stderr
    assert "is trained already" in done.stdout
    figures, losses = home.figures(), home.losses()
    done = commands.run(tmp_path, *short, "evaluation.knn=[1,3]")
    assert done.returncode == 0, done.stderr
    added = {"eval/knn3/top1", "eval/knn3/mean_class"}
    assert home.figures().keys() - figures.keys() == added
    assert home.figures().items() >= figures.items()
    assert home.mlflow() == ("FINISHED", losses)

    state = home.folder / f"checkpoints/step-{2 * STEPS:08d}/state.pt"
    data = state.read_bytes()
    state.write_bytes(data[: len(data) // 2] + b"?" + data[len(data) // 2 + 1 :])
    done = commands.run(tmp_path, "experiments/evaluate.py", home.folder.name)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.search(r"^error: .*state.pt is damaged \(checksum of .+\)$", done.stderr)
    state.write_bytes(data)

    folder = home.folder
    done = commands.run(tmp_path, *short, "--fresh")
    assert done.returncode == 0, done.stderr
    (aside,) = (path for path in folder.parent.iterdir() if path != folder)
    assert aside.name.startswith(f"{folder.name}.before-")
    assert (aside / "metrics.jsonl").exists() and (aside / "logs/driver.log").exists()
    records = [(path / "metrics.jsonl").read_text().splitlines() for path in (folder, aside)]
    assert [[json.loads(r)["metrics"]["train/loss"] for r in kept] for kept in records] == [
        [loss for _, loss in losses]
    ] * 2


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A head without CPUs and three nodes."""
    cluster = Cluster(initialize_head=True, head_node_args=_node(num_cpus=0))
    for _ in range(3):
        cluster.add_node(**_node(num_cpus=2))
    cluster.wait_for_nodes()
    yield cluster
    cluster.shutdown()


def _node(**settings: Any) -> dict[str, Any]:
    return {"object_store_memory": 100 * 2**20, "include_dashboard": False, **settings}


def _node_of(cluster: Cluster, worker: int) -> Any:
    """The node on which a process works."""
    parents = {parent.pid for parent in psutil.Process(worker).parents()}
    (node,) = [
        node
        for node in cluster.worker_nodes
        if {info.process.pid for info in node.all_processes["raylet"]} & parents
    ]
    return node


def _drain(cluster: Cluster, node: Any) -> None:
    """Says that a node is taken away soon, as clouds do with spot instances."""
    command = f"drain-node --address {cluster.address} --node-id {node.node_id}"
    why = (
        "--reason DRAIN_NODE_REASON_PREEMPTION --reason-message spot "
        "--deadline-remaining-seconds 60"
    )
    done = subprocess.run(
        [sys.executable, "-m", "ray.scripts.scripts", *command.split(), *why.split()],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.timeout(900)
def test_lost_nodes_are_replaced_or_waited_for(
    tmp_path: Path, whole: Home, cluster: Cluster
) -> None:
    home = Home.prepared(tmp_path, whole)
    process = start(home, *FULL, "training.checkpoint_every=2", RAY_ADDRESS=cluster.address)
    until(process, home.reached, 2 * STEPS)
    worker = home.worker()
    _drain(cluster, _node_of(cluster, worker))
    until(process, home.replaced, worker)
    for step in (10 * STEPS, 16 * STEPS):
        until(process, home.reached, step)
        worker = home.worker()
        cluster.remove_node(_node_of(cluster, worker), allow_graceful=False)
        if step == 10 * STEPS:  # there is one left, and the drained one, on which nothing starts
            until(process, home.replaced, worker)
    # Ray needs some seconds of silence to take a node for dead
    log = home.folder / "logs/driver.log"
    until(process, lambda: log.read_text().count("has been marked dead") == 2)
    reached = home.step()
    time.sleep(5)
    assert home.step() == reached, "there is no node to go on"
    cluster.add_node(**_node(num_cpus=2))
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert output.count("a node is being taken away: going on from step-") == 1
    assert output.count("training worker 0 has died: going on from step-") == 2
    assert output.count("waiting for nodes, at most 600 s: training needs 1 worker") == 1
    assert_the_same(home, whole)


def test_patience_with_lost_nodes_ends(tmp_path: Path, whole: Home, cluster: Cluster) -> None:
    home = Home.prepared(tmp_path, whole)
    process = start(home, *FULL, "training.patience=3", RAY_ADDRESS=cluster.address)
    until(process, home.reached, 1)
    for node in list(cluster.worker_nodes):
        cluster.remove_node(node, allow_graceful=False)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1, errors
    line = errors.splitlines()[-1]
    assert line.startswith("error: "), errors
    assert "no node has come within 3 s: training needs 1 worker with 1 CPU, there is room" in line
    assert "it goes on from the last checkpoint" in line
    assert home.mlflow()[0] == "FAILED"
