"""`metrics.jsonl` after kills and full disks."""

from __future__ import annotations

from pathlib import Path

from skelray.platform.training.metrics import MetricsFile


def test_a_line_that_was_cut_costs_no_other(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path / "metrics.jsonl")
    file.append(1, {"loss": 1.0})
    with file.path.open("a") as cut:
        cut.write('{"step": 2, "metr')
    file.append(3, {"loss": 3.0}, epoch=2)
    assert [(r["step"], r["metrics"]) for r in file.read()] == [
        (1, {"loss": 1.0}),
        (3, {"loss": 3.0}),
    ]
    assert file.read()[1]["epoch"] == 2
    file.cut_after(1)
    assert [r["step"] for r in file.read()] == [1]
    file.append(2, {})
    assert file.path.read_text().count("\n") == 2
