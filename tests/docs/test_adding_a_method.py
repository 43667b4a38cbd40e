"""The examples of docs/adding-a-method.md, installed as a package, do what the page says."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import skelray
from skelray.platform import registry
from skelray.platform.config import resolve
from skelray.platform.errors import DataError, UsageError
from skelray.platform.training.metrics import MetricsFile
from tests.methods import test_contract as contract

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "adding-a-method.md"

# A path in backticks, alone in its line, and the block that is this file.
BLOCKS = {
    path: text
    for path, text in re.findall(
        r"^`([\w/.]+)`:\n\n```\w+\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S
    )
}

CASE = contract.Case(
    "simsiam", overrides=("method.channels=4", "method.feature_dim=16", "method.frames=16")
)


@pytest.fixture
def fresh_registry() -> Iterator[Callable[[], None]]:
    """Makes the registry look again, now and after the test."""
    registry._plugins.cache_clear()
    yield registry._plugins.cache_clear
    registry._plugins.cache_clear()
    for name in list(sys.modules):
        if name.startswith(("skeleton_simsiam", "skelray.methods.simsiam")):
            del sys.modules[name]


@pytest.fixture
def package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_registry: Callable[[], None]
) -> None:
    """The page's package as an installer leaves it: code, experiments, entry points."""
    project = tomllib.loads(BLOCKS["pyproject.toml"])["project"]
    site = tmp_path / "site"
    code = site / "skeleton_simsiam"
    write(code / "__init__.py", "")
    write(code / "simsiam.py", BLOCKS["methods/simsiam/simsiam.py"])
    write(code / "poses.py", BLOCKS["datasets/poses/poses.py"])
    experiment = "experiments/simsiam/synthetic.yaml"
    write(code / experiment, BLOCKS[experiment])
    information = site / "skeleton_simsiam-0.1.0.dist-info"
    write(information / "METADATA", f"Name: {project['name']}\nVersion: {project['version']}\n")
    groups = [
        "\n".join([f"[{group}]", *(f"{name} = {target}" for name, target in entries.items())])
        for group, entries in project["entry-points"].items()
    ]
    write(information / "entry_points.txt", "\n".join(groups))
    monkeypatch.syspath_prepend(str(site))


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    "check",
    [
        contract.test_gradients_reach_every_parameter_that_is_not_frozen,
        contract.test_a_checkpoint_holds_all_that_the_next_step_needs,
        contract.test_two_ranks_equal_one,
        contract.test_features_depend_on_the_recording_alone,
        contract.test_it_trains_without_ray_and_mlflow,
    ],
)
def test_the_example_keeps_the_contract(
    check: Callable[[contract.Case, Path], None], tmp_path: Path
) -> None:
    check(CASE, tmp_path)


@pytest.mark.usefixtures("package")
def test_the_example_learns(tmp_path: Path) -> None:
    config = resolve("simsiam", "synthetic", ["method.batch=8", *CASE.overrides])
    assert config.method.model_dump()["epochs"] == 30  # of the YAML; the class says 100
    contract.loop_of(config, tmp_path, epochs=6).run()
    records = [r["metrics"] for r in MetricsFile(tmp_path / "metrics.jsonl").read()]
    losses = [record["train/loss"] for record in records]
    assert losses[-1] < losses[0] < 0.5
    assert min(losses) >= -1.0
    assert all(0.0 < record["train/spread"] < 1.2 for record in records)


@pytest.mark.usefixtures("package")
def test_unknown_settings_are_refused_by_name() -> None:
    with pytest.raises(UsageError, match=r"'method.sheer'.*'method.shear'"):
        resolve("simsiam", "synthetic", ["method.sheer=1"])


def test_the_example_works_as_folders_of_the_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_registry: Callable[[], None]
) -> None:
    for path, text in BLOCKS.items():
        write(tmp_path / path, text)
    monkeypatch.setattr(skelray, "__path__", [*skelray.__path__, str(tmp_path)])
    fresh_registry()
    assert registry.load_method("simsiam").__module__ == "skelray.methods.simsiam.simsiam"
    assert resolve("simsiam", "synthetic").data.dataset == "synthetic"


@pytest.mark.usefixtures("package")
def test_the_data_set_reads_its_files(tmp_path: Path) -> None:
    poses = registry.load_dataset("poses")
    xyz = np.random.default_rng(0).normal(size=(7, 20, 3))
    np.save(tmp_path / "a02_s03_r01.npy", xyz)
    np.save(tmp_path / "a01_s04_r02.npy", xyz[:, :5])
    damaged, whole = poses().discover(tmp_path).items
    (sample,) = poses().read(whole)
    assert (sample.id, sample.label, sample.subject, sample.replication) == ("a02_s03_r01", 1, 3, 1)
    np.testing.assert_array_equal(sample.xyz, xyz.astype(np.float32))
    assert sample.subject in poses.protocol("xsub").train
    with pytest.raises(DataError, match=r"a01_s04_r02.npy holds an array \(7, 5, 3\)"):
        next(poses().read(damaged))


def test_the_blocks_pass_lint(tmp_path: Path) -> None:
    files = [path for path in BLOCKS if path.endswith(".py")]
    for path in files:
        write(tmp_path / path, BLOCKS[path])
    for verb in (["check"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *verb, "--no-cache"]
        settings = ["--config", str(ROOT / "pyproject.toml"), *files]
        done = subprocess.run([*command, *settings], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
