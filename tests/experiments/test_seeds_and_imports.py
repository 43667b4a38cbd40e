"""`run.py --seeds` and `skelray import-weights`, as a user gives them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from skelray.methods.crossclr.config import CrosSCLRConfig
from skelray.methods.crossclr.crossclr import CrosSCLR
from skelray.platform.method import DataSpec
from skelray.platform.skeleton.specs import KINECT_V2
from tests.experiments import commands
from tests.methods.crossclr.published import as_published, save

QUICK = ("method.epochs=1", "evaluation.pictures=false", "evaluation.linear=[fast]")


@pytest.mark.slow
def test_seeds_run_and_are_summarised(tmp_path: Path) -> None:
    command = (*commands.TINY, *QUICK, "evaluation.baselines=false", "--seeds", "2")
    done = commands.run(tmp_path, *command)
    assert done.returncode == 0, done.stderr
    (row,) = (line for line in done.stdout.splitlines() if line.startswith("pretrained encoder"))
    assert row.count("±") == 4
    (file,) = (tmp_path / "summaries").iterdir()
    summary = json.loads(file.read_text())
    assert list(summary["runs"]) == ["0", "1"]
    assert len(set(summary["runs"].values())) == 2
    knn = summary["figures"]["eval/knn1/top1"]
    assert f"{knn['mean']:.1f} ± {knn['std']:.1f}" in row

    again = commands.run(tmp_path, *command)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("is trained already") == 2
    assert row in again.stdout.splitlines()


@pytest.mark.slow
def test_imported_weights_are_measured(tmp_path: Path) -> None:
    sizes = {"channels": 4, "feature_dim": 12, "projection_dim": 8, "queue": 16}
    config = CrosSCLRConfig(streams=("joint", "motion"), **sizes)
    data = DataSpec(skeleton=KINECT_V2, persons=2, coordinates=3)
    (file,) = save(tmp_path, as_published(CrosSCLR(config, data)))
    imported = commands.run(
        *(tmp_path / "home", *commands.SKELRAY, "import-weights", "crossclr", str(file)),
        *("data.size=tiny", *QUICK[1:]),
    )
    assert imported.returncode == 0, imported.stderr
    (folder,) = (tmp_path / "home" / "runs").iterdir()
    assert imported.stdout.splitlines()[-1].endswith(f"skelray evaluate {folder.name}")

    done = commands.run(tmp_path / "home", "experiments/evaluate.py", str(folder))
    assert done.returncode == 0, done.stderr
    rows = [line.split("  ")[0] for line in done.stdout.splitlines()]
    assert {"pretrained encoder, joint-motion", "pretrained encoder, motion"} <= set(rows)

    torch.save({"a": torch.ones(1)}, file)
    refused = commands.run(
        tmp_path / "home", *commands.SKELRAY, "import-weights", "crossclr", str(file)
    )
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1].startswith(f"error: {file}: key 'a' is none of")
