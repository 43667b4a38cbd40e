"""Runs side by side: rows, columns, papers' figures, and what is missing of the seeds."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import yaml

from skelray.platform import cli, comparison, comparison_report, published_figures, registry
from skelray.platform.config import RunConfig, resolve
from skelray.platform.evaluation.results import Evaluation
from skelray.platform.tracking.run_file import Description, RunFile

FIGURES = {"eval/linear/top1": 70.0, "eval/knn1/top1": 60.0, "eval/linear/top5": 99.0}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SKELRAY_HOME", str(tmp_path))
    return tmp_path


def measured(folder: Path, config: RunConfig, figures: dict[str, float], **changes: Any) -> None:
    """What a finished run leaves: its settings, its tags, its evaluation."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
    stage = str(changes.pop("stage", "pretrain"))
    tags = {"stage": stage, "configuration": config.identity("v1", seeded=False)}
    RunFile.start(folder, Description(experiment="x", name="x", params={}, tags=tags))
    place = {"dataset": config.data.dataset, "protocol": config.data.protocol}
    about = {**place, "trained_on": place, "first_output": "joint", "outputs": ["joint"]}
    Evaluation(folder / "evaluations/step-00000010.json", about | changes, dict(figures)).save()


def three_seeds(home: Path) -> None:
    for seed, top1 in enumerate((70.0, 76.0, 79.0)):
        config = resolve("skeletonclr", "ntu60_xsub", [f"seed={seed}"])
        measured(home / f"runs/a{seed}", config, FIGURES | {"eval/linear/top1": top1})
    other = resolve("skeletonclr", "ntu60_xsub", ["method.stream=motion"])
    figures = FIGURES | {"baseline/random/knn1/top1": 20.0, "baseline/raw/knn1/top1": 30.0}
    measured(home / "runs/b", other, figures)


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    cli.main(["compare", *arguments])
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_seeds_are_one_row_and_settings_tell_rows_apart(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    three_seeds(home)
    measured(home / "runs/a0.before-20250101-120000", resolve("crossclr", "ntu60_xsub"), FIGURES)
    (home / "runs/empty").mkdir()
    lines = shown(capsys)
    assert set(lines.pop(2)) == {"-", " "}
    assert lines == [
        "ntu60, protocol xsub: percent, mean ± standard deviation over the seeds",
        "seeds linear/top1 knn1/top1 published",
        "skeletonclr stream=joint, joint 3 75.0 ± 4.6 60.0 ± 0.0 68.3",
        "skeletonclr stream=motion, joint 1 70.0 60.0 68.3",
        "skeletonclr stream=motion random encoder, joint 1 - 20.0 -",
        "skeletonclr stream=motion raw coordinates 1 - 30.0 -",
        "",
        "published: README of LinguoLi/CrosSCLR",
    ]


def test_columns_are_those_that_are_asked_for(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    three_seeds(home)
    assert shown(capsys, "--figures", "linear/top5")[3].endswith("joint 3 99.0 ± 0.0")
    with pytest.raises(SystemExit):
        cli.main(["compare", "--figures", "linear/top2"])
    assert "no run has a figure 'linear/top2': did you mean" in capsys.readouterr().err


def test_files_hold_what_the_terminal_shows(
    home: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    three_seeds(home)
    files = {name: tmp_path / f"table.{name}" for name in ("md", "csv", "png")}
    shown(
        capsys,
        *("--markdown", str(files["md"]), "--csv", str(files["csv"]), "--plot", str(files["png"])),
    )
    assert "| skeletonclr stream=joint, joint | 3 | 75.0 ± 4.6 |" in files["md"].read_text()
    lines = list(csv.DictReader(files["csv"].open()))
    (line,) = (x for x in lines if x["seeds"] == "0 1 2" and x["figure"] == "linear/top1")
    assert line["values"] == "70.0000 76.0000 79.0000" and float(line["mean"]) == 75
    assert float(line["published"]) == 68.3
    assert files["png"].read_bytes()[:4] == b"\x89PNG"


def test_damaged_runs_are_named_and_left_out(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    three_seeds(home)
    (home / "runs/b/evaluations/step-00000010.json").write_text("{")
    cli.main(["compare", "ntu60"])
    printed = capsys.readouterr()
    assert "skeletonclr, joint" in printed.out and "motion" not in printed.out
    assert "left out: " in printed.err and "step-00000010.json is damaged" in printed.err


def test_a_transfer_says_where_it_comes_from(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    three_seeds(home)
    elsewhere = resolve("skeletonclr", "ntu60_xsub", ["data.dataset=ntu120"])
    trained = {"dataset": "ntu60", "protocol": "xsub"}
    place = home / "runs/a0/transfer/ntu120-xsub"
    measured(place, elsewhere, FIGURES, stage="transfer", trained_on=trained)
    assert shown(capsys, "ntu120")[3].startswith("skeletonclr pretrained on ntu60 xsub, joint 1")
    with pytest.raises(SystemExit):
        cli.main(["compare"])
    error = capsys.readouterr().err
    assert "several fit, name one: ntu120 xsub, ntu60 xsub" in error
    with pytest.raises(SystemExit):
        cli.main(["compare", "nwucla"])
    assert "nothing was measured on nwucla; on ntu120 xsub, ntu60 xsub" in capsys.readouterr().err


def test_missing_seeds_are_counted_from_the_first(home: Path) -> None:
    three_seeds(home)
    imported = resolve("crossclr", "ntu60_xsub")
    measured(home / "runs/imported", imported, FIGURES, stage="import")
    runs, damaged = comparison.read_runs("ntu60", "xsub")
    assert damaged == [] and comparison.missing_seeds(runs, 1) == []
    missing = comparison.missing_seeds(runs, 4)
    assert [(c.method.stream, c.seed) for c in missing] == [
        *(("joint", 3), ("motion", 1), ("motion", 2), ("motion", 3))
    ]


def test_nothing_measured_is_said(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["compare"])
    assert capsys.readouterr().err.endswith("has been measured yet\n")
    measured(home / "runs/a", resolve("skeletonclr", "ntu60_xsub"), FIGURES)
    (home / "runs/a/evaluations/step-00000010.json").write_text("{")
    with pytest.raises(SystemExit):
        cli.main(["compare"])
    assert "1 cannot be read, such as: " in capsys.readouterr().err


def test_figures_of_papers_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published_figures.inspect, "getfile", lambda _: str(tmp_path / "x.py"))
    published_figures._of.cache_clear()
    assert published_figures.published_figures("crossclr", "ntu60", "xsub", "joint") == []
    (tmp_path / "figures.yaml").write_text("crossclr: [{dataset: ntu60}]")
    published_figures._of.cache_clear()
    with pytest.raises(Exception, match=r"figures.yaml: crossclr.0.protocol: Field required"):
        published_figures.published_figures("crossclr", "ntu60", "xsub", "joint")
    published_figures._of.cache_clear()


def test_a_plot_has_a_bar_for_each_row(home: Path, tmp_path: Path) -> None:
    three_seeds(home)
    rows = comparison.rows(comparison.read_runs("ntu60", "xsub")[0])
    comparison_report.plot(tmp_path / "all.png", rows, "knn1/top1", "ntu60")
    comparison_report.plot(tmp_path / "few.png", rows, "linear/top1", "ntu60")
    heights = [
        int.from_bytes((tmp_path / name).read_bytes()[20:24], "big")
        for name in ("few.png", "all.png")
    ]
    assert heights[1] > heights[0]  # two rows have no linear figure


@pytest.mark.parametrize("method", registry.method_names())
def test_shipped_figures_are_of_outputs_and_protocols_that_exist(method: str) -> None:
    found = published_figures._of(method)
    for figure in found:
        dataset = registry.load_dataset(figure.dataset)
        assert figure.protocol in {protocol.name for protocol in dataset.protocols}
        assert 0 < figure.value < 100 and figure.source
    known = {(one.dataset, one.protocol, one.output, one.figure) for one in found}
    assert len(known) == len(found)
