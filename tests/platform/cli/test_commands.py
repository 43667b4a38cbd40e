"""The command line: what it prints, and one clear line for whatever is wrong."""

from __future__ import annotations

import io
import json
import logging
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from skelray.methods.crossclr.config import SkeletonCLRConfig
from skelray.methods.crossclr.skeletonclr import SkeletonCLR
from skelray.platform import cli, preparation, registry
from skelray.platform.cli import runs
from skelray.platform.data.store import MANIFEST, Store
from skelray.platform.errors import UsageError
from skelray.platform.evaluation.scores import Scores
from skelray.platform.method import DataSpec
from skelray.platform.skeleton.specs import KINECT_V2
from tests.methods.crossclr.published import as_published, save
from tests.platform.data.stores import recording, write_store

REPOSITORY = Path(__file__).resolve().parents[3]


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


@pytest.fixture
def nwucla(home: Path) -> Path:
    """The store of two recordings under the name of a data set."""
    known = recording("first", [1, 2], label=0, subject=3, camera=1)
    return write_store(
        home / "stores/nwucla",
        [[known, recording("second", [1])]],
        dataset="nwucla",
        kind=registry.load_dataset("nwucla"),
    ).path


def test_list_says_what_is_prepared_and_cached(
    capsys: pytest.CaptureFixture[str], home: Path, nwucla: Path
) -> None:
    cache = home / "caches/0123456789abcdef/centred-1"
    cache.mkdir(parents=True)
    (cache / "frames.arrow").write_bytes(bytes(3072))
    cli.main(["list"])
    lines = capsys.readouterr().out.splitlines()
    start = lines.index("data set nwucla: xview; 10 classes")
    assert lines[start + 1].startswith("  prepared: 2 recordings, 0 skipped, ")
    assert lines[start + 1].endswith(f" KiB in {nwucla}")
    assert lines[start + 2] == f"  cached preprocessing of nwucla: 3.0 KiB in {cache}"
    assert lines.count("  not prepared") == len(registry.dataset_names()) - 1


@pytest.mark.parametrize("arguments", [(), ("--fresh",)])
def test_prepare_says_when_it_has_read_nothing(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    nwucla: Path,
    arguments: tuple[str, ...],
) -> None:
    manifest = {**json.loads((nwucla / MANIFEST).read_text()), "source": "/data/first"}

    def prepared(*_: object, **__: object) -> Store:
        return Store(nwucla, manifest)

    monkeypatch.setattr(preparation, "prepare_dataset", prepared)
    cli.main(["prepare", "nwucla", "--raw", "/data/second", *arguments])
    assert capsys.readouterr().out.splitlines() == [
        f"2 recordings in {nwucla}",
        *(() if arguments else (NOTHING_READ,)),
    ]


NOTHING_READ = "prepared before, from /data/first: --fresh reads files and class as they are now"


def test_describe_prints_tables_and_writes_a_page(
    capsys: pytest.CaptureFixture[str], home: Path, nwucla: Path, tmp_path: Path
) -> None:
    cli.main(["describe", "nwucla", "--protocol", "cv"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "nwucla: 2 recordings, 0 skipped"
    assert "pick up with one hand      0           1  50.0" in lines
    assert "xview         1        1     1" in lines
    page = home / "pages/nwucla.html"
    assert lines[-1] == f"animated recordings, to be opened in a browser: {page}"
    assert "<h2>pick up with one hand</h2>" in page.read_text()
    cli.main(["describe", "nwucla", "--html", str(tmp_path / "other/page.html")])
    assert (tmp_path / "other/page.html").read_text() == page.read_text()


def test_describe_needs_a_prepared_data_set(capsys: pytest.CaptureFixture[str]) -> None:
    status, printed = failure(capsys, "describe", "ntu60")
    assert status == 1
    assert printed == (
        "error: data set ntu60 is not prepared: run `skelray prepare ntu60 --raw FOLDER` first"
    )
    status, printed = failure(capsys, "describe", "synthetic", "--size", "tiny")
    assert "run `skelray prepare synthetic --size SIZE` first" in printed


@pytest.mark.parametrize(
    ("answer", "removed"), [("--yes", True), ("y\n", True), ("n\n", False), ("\n", False)]
)
def test_clean_removes_caches_once_allowed(
    answer: str,
    removed: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    home: Path,
    nwucla: Path,
) -> None:
    features = home / "caches/features/0a.parquet"
    features.parent.mkdir(parents=True)
    features.write_bytes(bytes(1536))
    monkeypatch.setattr(sys, "stdin", io.StringIO("" if answer == "--yes" else answer))
    cli.main(["clean", *(["--yes"] if answer == "--yes" else [])])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"cached features of checkpoints: 1.5 KiB in {features}"
    assert lines[-1].endswith("removed 1.5 KiB" if removed else "nothing was removed")
    assert features.exists() is not removed
    assert (nwucla / "manifest.json").exists()


def test_clean_removes_clips_where_they_are_asked_for(
    capsys: pytest.CaptureFixture[str], home: Path, nwucla: Path
) -> None:
    clips = home / "clips/nwucla/person-64"
    clips.mkdir(parents=True)
    (clips / "manifest.json").write_bytes(bytes(1536))
    cli.main(["clean", "nwucla", "--yes"])
    assert capsys.readouterr().out.splitlines() == ["nothing to remove of nwucla"]
    cli.main(["clean", "nwucla", "--clips", "--yes"])
    assert capsys.readouterr().out.splitlines() == [
        f"clips of nwucla: 1.5 KiB in {clips}",
        "removed 1.5 KiB",
    ]
    assert not clips.parent.exists()


def test_clean_without_an_answer_is_an_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    (home / "caches/features").mkdir(parents=True)
    (home / "caches/features/0a.parquet").touch()
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    with pytest.raises(SystemExit) as stopped:
        cli.main(["clean"])
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert "error: nothing was removed, as nobody answered: give --yes" in error
    assert (home / "caches/features/0a.parquet").exists()


def test_clean_says_what_stays(
    capsys: pytest.CaptureFixture[str], home: Path, nwucla: Path
) -> None:
    partial = home / "stores/nwucla.partial"
    partial.mkdir()
    cli.main(["clean", "nwucla"])
    assert capsys.readouterr().out.splitlines() == [
        "stays, as it changed less than a day ago: unfinished preparation of nwucla: 0 B in "
        f"{partial}",
        "nothing to remove of nwucla",
    ]
    assert partial.exists()
    status, printed = failure(capsys, "clean", "nwcla")
    assert (status, printed) == (2, "error: no data set named 'nwcla': did you mean 'nwucla'?")


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


def test_an_error_nobody_expected_is_one_line_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def slip(*_: object) -> None:
        raise ValueError("two\nlines")

    monkeypatch.setattr(runs, "resolve", slip)
    status, printed = failure(capsys, "run", "skeletonclr")
    assert status == 1
    assert re.fullmatch(
        r"error: ValueError: two lines \(test_commands.py, line \d+\); --debug shows where", printed
    )


def test_an_interrupted_command_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "resolve", interrupted)
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


def test_ensemble_prints_and_records_its_members(
    capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    about = {"dataset": "nwucla", "protocol": "xview", "data_version": "v1", "classes": 2}
    about |= {"checkpoint_hash": "c0ffee", "first_output": "joint", "outputs": ["joint"]}
    for name, values in {"a": [[2.0, 0], [1, 0]], "b": [[0, 1.0], [0, 5]]}.items():
        path = home / "runs" / name / "evaluations" / "step-00000001.json"
        scores = Scores(id=np.array(["x", "y"]), label=np.array([0, 1]), values=np.array(values))
        scores.write(path.with_suffix("") / "s.parquet")
        files = {"eval/linear/scores": "s.parquet"}
        path.write_text(json.dumps({"about": about, "figures": {}, "files": files}))
    cli.main(["ensemble", "a", "b", "--weights", "0.6,0.4"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].split() == ["ensemble", "of", "2", "100.0", "100.0"]
    (file,) = (home / "summaries").iterdir()
    assert lines[-1] == f"weights and figures: {file}"
    record = json.loads(file.read_text())
    assert [one["weight"] for one in record["members"]] == [0.6, 0.4]
    assert record["recipe"] == "linear" and record["figures"]["eval/ensemble2s/top1"] == 100.0

    wrong = "error: --weights 1;2: give numbers with commas between"
    assert failure(capsys, "ensemble", "a", "b", "--weights", "1;2") == (2, wrong)
    status, line = failure(capsys, "ensemble", "a", "c")
    assert status == 2 and line.endswith("/runs/c does not exist: give a run's folder or its name")


def test_weights_come_with_their_settings(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    sizes = {"channels": 4, "feature_dim": 12, "projection_dim": 8, "queue": 16}
    data = DataSpec(skeleton=KINECT_V2, persons=2, coordinates=3)
    (file,) = save(tmp_path, as_published(SkeletonCLR(SkeletonCLRConfig(**sizes), data)))
    arguments = ("import-weights", "skeletonclr", str(file), "preset=small")
    status, line = failure(capsys, *arguments)
    assert status == 2 and "preset= cannot be given" in line
    status, line = failure(capsys, *arguments[:3], "--experiment", "nwucla")
    assert status == 2 and line.startswith("error: data set nwucla is not prepared")


def test_a_published_checkpoint_may_be_several_files(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    files = [tmp_path / f"epoch19_model{number}.pt" for number in (1, 2)]
    torch.save({"data_bn.weight": torch.ones(75)}, files[0])
    status, line = failure(capsys, "import-weights", "lstcl", str(files[0]))
    assert status == 1 and "both files of an epoch belong together" in line
    status, line = failure(capsys, "import-weights", "lstcl", *map(str, files), "method.lr=1")
    assert status == 1 and line.endswith(f"{files[1]} does not exist")
