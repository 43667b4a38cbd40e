"""Several seeds by one command; the runs themselves are tested in tests/experiments."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from skelray.platform import cluster, seeds
from skelray.platform.config import RunConfig, resolve
from skelray.platform.evaluation.results import Evaluation


def test_every_seed_runs_once_and_the_figures_are_summarised(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SKELRAY_HOME", str(tmp_path))

    def run(config: RunConfig, *, fresh: bool) -> tuple[Path, Evaluation]:
        assert fresh and config.experiment == "synthetic"
        figures = {"eval/linear/top1": 50.0 + config.seed}
        return tmp_path / f"run-{config.seed}", Evaluation(tmp_path / "x.json", {}, figures)

    def opened(_: Any) -> SimpleNamespace:
        return SimpleNamespace(version="v1")

    monkeypatch.setattr(seeds, "run", run)
    monkeypatch.setattr(cluster, "connected", lambda check: nullcontext())
    monkeypatch.setattr(seeds, "Source", SimpleNamespace(open=opened))
    config = resolve("skeletonclr", "synthetic", ["seed=4"])
    file, evaluations = seeds.run_seeds(config, 3, fresh=True)
    assert [e.figures["eval/linear/top1"] for e in evaluations] == [54.0, 55.0, 56.0]
    assert file.parent == tmp_path / "summaries" and file.name.endswith("-seeds-4-6.json")
    assert json.loads(file.read_text()) == {
        "runs": {str(seed): str(tmp_path / f"run-{seed}") for seed in (4, 5, 6)},
        "figures": {"eval/linear/top1": {"mean": 55.0, "std": 1.0, "values": [54.0, 55.0, 56.0]}},
    }
