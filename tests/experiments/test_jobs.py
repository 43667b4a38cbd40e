"""The README's submitted job, on a head with token authentication, without skelray installed."""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.experiments import commands

README = (commands.ROOT / "README.md").read_text(encoding="utf-8")
TINY = "data.size=tiny method.channels=4 method.batch=8 method.queue=16 method.epochs=50"
QUICK = "evaluation.linear=[fast] evaluation.baselines=false evaluation.pictures=false"


def readme(start: str) -> str:
    """The README's first command that starts so."""
    line = next(line for line in README.splitlines() if line.startswith(start))
    return line.partition("  #")[0].strip()


class Shell:
    """A login of somebody who has the dependencies, and neither skelray nor a setting of ours."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.home.mkdir()
        bin = folder / "venv/bin"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", bin.parent], check=True)
        (site,) = bin.parent.glob("lib/python*/site-packages")
        # Python reads no .pth files in a folder that comes from one: skelray's own stays unread
        (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
        (bin / "ray").write_text('#!/bin/sh\nexec python -m ray.scripts.scripts "$@"\n')
        (bin / "ray").chmod(0o755)
        self.variables = {"HOME": str(self.home), "PATH": f"{bin}:/usr/bin:/bin"}

    def start(self, command: str, output: Path) -> subprocess.Popen[bytes]:
        """Starts a command in the repository, its output in a file."""
        with output.open("wb") as file:
            return subprocess.Popen(
                shlex.split(command),
                cwd=commands.ROOT,
                env=self.variables,
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    def run(self, command: str, cwd: Path = commands.ROOT) -> str:
        """Runs a command to its end; its output, which the test shows where it fails."""
        done = subprocess.run(
            shlex.split(command),
            cwd=cwd,
            env=self.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A new login, with the variables that the README exports and a token of its own."""
    shell = Shell(tmp_path)
    shell.variables |= dict(re.findall(r"^export (\w+)=(\w+)", README, flags=re.MULTILINE))
    shell.run(readme("ray get-auth-token"))
    return shell


@pytest.fixture
def session(shell: Shell, tmp_path: Path) -> Iterator[Path]:
    """The session folder of a head that this shell has started, to which it submits its jobs."""
    with ExitStack() as stack:
        # a short path: Ray makes sockets below it
        folder = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        dashboard, *others = free_ports(4)
        names = ("port", "ray-client-server-port", "dashboard-agent-listen-port")
        ports = " ".join(f"--{name}={port}" for name, port in zip(names, others, strict=True))
        head = shell.start(
            f"{readme('ray start')} --block --num-cpus=2 --disable-usage-stats --temp-dir={folder} "
            f"--dashboard-port={dashboard} {ports}",
            tmp_path / "head.txt",
        )
        stack.callback(end, head)
        commands.wait_until(lambda: listens(dashboard) or head.poll() is not None)
        assert head.poll() is None, (tmp_path / "head.txt").read_text()
        shell.variables["RAY_API_SERVER_ADDRESS"] = f"http://127.0.0.1:{dashboard}"
        yield Path(folder) / "session_latest"


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def end(head: subprocess.Popen[bytes]) -> None:
    """Kills the head and all that it has started."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(head.pid)
        family = [process, *process.children(recursive=True)]
        for one in family:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        psutil.wait_procs(family)
    head.wait()


def checkpoints(shell: Shell) -> list[Path]:
    return sorted(shell.home.glob("skelray/runs/*/checkpoints/step-*"))


def mlflow_run(shell: Shell) -> tuple[str, list[int]]:
    """Status of the home's only run, and the steps at which its loss was logged."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{shell.home / 'skelray/mlflow.db'}")
    experiment: Any = client.get_experiment_by_name("synthetic_xsub")
    (run,) = client.search_runs([experiment.experiment_id])
    history = client.get_metric_history(run.info.run_id, "train/loss")
    return run.info.status, [point.step for point in history]


@pytest.mark.slow
def test_a_submitted_job_is_stopped_goes_on_and_finishes(
    shell: Shell, session: Path, tmp_path: Path
) -> None:
    missing = "python -c \"import ray, importlib.util as u; print(u.find_spec('skelray'))\""
    assert shell.run(missing, cwd=tmp_path).strip() == "None"
    assert shell.variables["RAY_AUTH_MODE"] == "token"
    submit = f"{readme('ray job submit')} {TINY} {QUICK}"

    log = tmp_path / "job.txt"
    job = shell.start(submit, log)
    commands.wait_until(lambda: checkpoints(shell) or job.poll() is not None)
    (name,) = re.findall(r"Job '(\w+)' submitted", log.read_text())
    shell.run(f"ray job stop {name}")
    job.wait(timeout=60)
    assert "was stopped" in log.read_text()
    status, steps = mlflow_run(shell)
    assert status == "KILLED"
    assert 0 < len(steps) < 50

    (uploaded,) = session.glob("runtime_resources/working_dir_files/*/")
    assert not any((uploaded / name).exists() for name in (".git", ".venv"))
    assert sum(file.stat().st_size for file in uploaded.rglob("*")) < 10_000_000

    output = shell.run(submit)
    assert "going on with skeletonclr-synthetic-" in output
    assert re.search(r"^pretrained encoder( +[\d.]+){4}$", output, flags=re.MULTILINE)
    assert mlflow_run(shell) == ("FINISHED", list(range(6, 301, 6)))
