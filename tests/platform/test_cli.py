"""The command line: what it prints, and one clear line for whatever is wrong."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml

from skelray.platform import cli, registry
from skelray.platform.errors import UsageError

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty SKELRAY_HOME; what `main` sets for a whole process is put back."""
    monkeypatch.setenv("SKELRAY_HOME", str(tmp_path / "home"))
    handler, handlers = signal.getsignal(signal.SIGTERM), logging.root.handlers[:]
    yield tmp_path / "home"
    signal.signal(signal.SIGTERM, handler)
    logging.root.handlers[:] = handlers


def failure(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int | str | None, str]:
    """Exit status and the one line on standard error."""
    with pytest.raises(SystemExit) as stopped:
        cli.main(list(arguments))
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1, printed.err
    return stopped.value.code, printed.err.rstrip("\n")


def test_list_names_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["list"])
    printed = capsys.readouterr().out
    method = next(line for line in printed.splitlines() if line.startswith("method skeletonclr:"))
    assert "nwucla" in method and "(presets published, small)" in method
    assert "data set nwucla: xview; 10 classes" in printed.splitlines()
    assert printed.count("data set ") == len(registry.dataset_names())


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["rum"], "error: No such command 'rum'"),
        (["run"], "error: Missing argument 'method': see --help"),
        (["run", "skeletonclr", "--dryrun"], "error: No such option: --dryrun"),
        (["prepare", "nwucla", "--raw"], "error: Option '--raw' requires an argument: see --help"),
        (["run", "skeletoncrl"], "error: no method named 'skeletoncrl': did you mean 'skeleton"),
        (["run", "skeletonclr", "nwuclaa"], "error: method skeletonclr has no experiment 'nwuc"),
        (["run", "skeletonclr", "lr=1"], "error: unknown key 'lr': choose one of method.lr"),
        (["run", "skeletonclr", "nwucla", "oops"], "error: 'oops' is not of the form key=value"),
        (
            ["run", "skeletonclr", "nwucla"],
            "error: data set nwucla is not prepared: run `python experiments/prepare.py nwucla "
            "--raw FOLDER` first",
        ),
        (
            ["run", "skeletonclr", "synthetic", "data.protocol=xset"],
            "error: data set synthetic has no protocol 'xset': choose one of xsub, xview, losoN",
        ),
        (["prepare", "nwucla"], "error: data set nwucla needs --raw FOLDER: get all_sqe.zip by"),
        (["prepare", "nwucla", "--raw", "/no/such"], "error: --raw /no/such does not exist"),
        (["prepare", "synthetic"], "error: synthetic has no size '': choose one of tiny, small"),
        (["prepare", "ntu61"], "error: no data set named 'ntu61': did you mean 'ntu60'?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_usage_errors_are_one_line_and_status_2(
    arguments: list[str], line: str, capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    status, printed = failure(capsys, *arguments)
    assert status == 2
    assert printed.startswith(line)
    assert not (home / "runs").exists() and not (home / "stores").exists()


def test_what_is_no_run_is_not_evaluated(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    status, printed = failure(capsys, "evaluate", "skeletonclr-nowhere")
    assert status == 1
    assert printed.startswith(f"error: {home / 'runs/skeletonclr-nowhere'} is no checkpoint")


def test_debug_shows_where_an_error_was_raised() -> None:
    with pytest.raises(UsageError, match="no method named 'x'"):
        cli.main(["run", "x", "--debug"])


def test_an_interrupted_command_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "resolve", interrupted)
    status, printed = failure(capsys, "run", "skeletonclr")
    assert (status, printed) == (130, "interrupted: the same command goes on where it stopped")


def test_a_dry_run_shows_configuration_and_cost_and_starts_nothing(
    capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    before = torch.get_rng_state()
    cli.main(["run", "skeletonclr", "nwucla", "method.batch=4", "method.channels=4", "--dry-run"])
    configuration, costs = capsys.readouterr().out.split("---\n")
    config = yaml.safe_load(configuration)
    assert config["data"]["dataset"] == "nwucla"
    assert config["method"]["batch"] == 4 and config["method"]["channels"] == 4
    lines = costs.splitlines()
    assert lines[0] == "data: nwucla xview, not prepared yet"
    assert lines[1].startswith("parameters: ")
    assert lines[2].startswith("phase pretrain: batch 4 on 1 worker(s), rate ")
    assert lines[2].endswith("KiB a recording in the cache")
    assert not home.exists()
    torch.set_rng_state(before)


def test_the_scripts_are_the_verbs() -> None:
    done = subprocess.run(
        [sys.executable, "experiments/run.py", "skeletonclr", "--dryrun"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: No such option: --dryrun")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
