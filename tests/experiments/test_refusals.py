"""What cannot work is refused by one line and status 2, before Ray or anything else is started."""

from __future__ import annotations

import json
import runpy
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import ray

from tests.experiments import commands


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home on a machine with two CPUs, on which no Ray may be started."""
    monkeypatch.setenv("SKELRAY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RAY_OVERRIDE_RESOURCES", json.dumps({"CPU": 2, "GPU": 0}))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "init", lambda **_: pytest.fail("Ray was started"))
    return tmp_path / "home"


@pytest.fixture
def refused(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """`refused(script, …)`: the line by which that script refuses its arguments."""

    def run(script: str, *arguments: str) -> str:
        handler = signal.getsignal(signal.SIGTERM)
        monkeypatch.setattr(sys, "argv", [script, *arguments])
        try:
            with pytest.raises(SystemExit) as ended:
                runpy.run_path(str(commands.ROOT / script), run_name="__main__")
        finally:
            signal.signal(signal.SIGTERM, handler)
        said = capfd.readouterr()
        assert ended.value.code == 2
        assert said.out == ""
        (line,) = said.err.splitlines()
        return line

    return run


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("skeletoncrl", "no method named 'skeletoncrl': did you mean 'skeletonclr'?"),
        (
            "skeletonclr ntu60_xsbu",
            "method skeletonclr has no experiment 'ntu60_xsbu': did you mean 'ntu60_xsub'?",
        ),
        ("skeletonclr method.quue=9", "unknown key 'method.quue': did you mean 'method.queue'?"),
        ("skeletonclr trainng.workers=2", "unknown key 'trainng': did you mean 'training'?"),
        ("skeletonclr training.wrkers=2", "did you mean 'training.workers'?"),
        (
            "skeletonclr preset=smal",
            "method skeletonclr has no preset 'smal': did you mean 'small'?",
        ),
        ("skeletonclr method.lr=fast", "method.lr='fast': Input should be a valid number"),
        ("skeletonclr method.epochs=2.5", "method.epochs=2.5: Input should be a valid integer"),
        ("skeletonclr training=2", "training=2: Input should be"),
        ("skeletonclr training.workers=0", "training.workers=0: Input should be greater than"),
        ("skeletonclr evaluation.linear=fast", "evaluation.linear='fast': Input should be"),
        ("skeletonclr data.residency=disk", "data.residency='disk': Input should be 'auto', 'de"),
        ("skeletonclr synthetic seed", "'seed' is not of the form key=value"),
        ("skeletonclr ntu60_xsub", "prepare.py ntu60 --raw FOLDER` first"),
        ("skeletonclr data.dataset=ntu6", "no data set named 'ntu6': did you mean 'ntu60'?"),
        ("skeletonclr data.protocol=xset", "no protocol 'xset': choose one of xsub, xview, losoN"),
    ],
)
def test_what_has_no_such_name_or_type(
    refused: Callable[..., str], home: Path, arguments: str, line: str
) -> None:
    said = refused("experiments/run.py", *arguments.split())
    assert said.startswith("error: ")
    assert line in said
    assert not home.exists()


@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        ("training.workers=3", "set training.workers=2"),
        ("training.cpus_per_worker=3", "set training.cpus_per_worker=2"),
        ("training.workers=2 training.cpus_per_worker=1.5", "set training.workers=1"),
        ("training.gpus_per_worker=1", "set training.gpus_per_worker=0"),
        ("training.gpus_per_worker=1.5", "give a whole number, or a part of one"),
        ("training.workers=2 data.residency=stream", "set training.workers=1"),
        ("evaluation.workers=5", "set evaluation.workers=4"),
    ],
)
def test_workers_for_which_this_machine_has_no_room(
    refused: Callable[..., str], home: Path, settings: str, remedy: str
) -> None:
    said = refused("experiments/run.py", "skeletonclr", "data.size=tiny", *settings.split())
    assert said.startswith(f"error: {settings.partition('.')[0]}")
    assert said.endswith(f": {remedy}")
    assert list(home.iterdir()) == []


def test_a_size_that_nobody_generates(refused: Callable[..., str]) -> None:
    said = refused("experiments/run.py", "skeletonclr", "data.size=tinny")
    assert said.startswith("error: synthetic has no size 'tinny': choose one of tiny, small, ")


def test_a_home_that_is_a_file(refused: Callable[..., str], home: Path) -> None:
    home.touch()
    said = refused("experiments/run.py", "skeletonclr", "data.size=tiny")
    assert said.startswith(f"error: SKELRAY_HOME={home} cannot be written (File exists): set ")


def test_the_same_from_a_shell(tmp_path: Path) -> None:
    """With the machine as it is, and nothing of Ray between."""
    done = commands.run(tmp_path, "experiments/run.py", "skeletonclr", "training.workers=100000")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: training needs 100000 workers with 1 CPU each, there is ")
