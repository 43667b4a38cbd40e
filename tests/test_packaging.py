"""What leaves the repository: a copy of the tree, the wheel, the constraints, the cluster file."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("platform", "methods", "datasets", "experiments")
SHIPPED = {".py", ".yaml", ".txt", ".csv", ".html"}


def shipped_files(tree: Path) -> set[str]:
    """The files a wheel of `tree` must hold, as their paths below the wheel's root."""
    found = {"skelray/__init__.py"}
    for folder in FOLDERS:
        for path in (tree / folder).rglob("*"):
            if path.suffix in SHIPPED or path.name == "README.md":
                found.add(f"skelray/{path.relative_to(tree).as_posix()}")
    return found


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, links kept; building in place would leave files in the repository."""
    copy = tmp_path_factory.mktemp("tree")
    for folder in (*FOLDERS, "skelray"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, copy / folder, symlinks=True, ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    return copy


@pytest.fixture(scope="module")
def wheel(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without the network: with the setuptools that is installed."""
    # A data folder that holds no Python must be shipped too, whatever the repository has today.
    (tree / "datasets" / "ntu" / "probe").mkdir()
    (tree / "datasets" / "ntu" / "probe" / "names.txt").write_text("drink water\n")
    (tree / "experiments" / "probe").mkdir()
    (tree / "experiments" / "probe" / "synthetic.yaml").write_text("preset: small\n")
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    command = [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", str(folder), "."]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


def where_skelray_is(path: Path, cwd: Path) -> list[Path]:
    """The files of `skelray` and of its data set contract, imported with `path` on PYTHONPATH."""
    code = (
        "import skelray, skelray.platform.dataset as d, sys;"
        "assert 'ray' not in sys.modules; print(skelray.__file__); print(d.__file__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return [Path(line) for line in done.stdout.splitlines()]


def test_a_copy_of_the_tree_works_from_anywhere(tree: Path, tmp_path: Path) -> None:
    expected = [tree / "skelray/__init__.py", tree / "skelray/platform/dataset.py"]
    assert where_skelray_is(tree, tmp_path) == expected


def test_the_wheel_holds_every_shipped_file_and_nothing_else(wheel: Path, tree: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {n for n in archive.namelist() if ".dist-info/" not in n}
        licences = [n for n in archive.namelist() if n.endswith("licenses/LICENSE")]
    assert names == shipped_files(tree)
    assert "skelray/datasets/ntu/probe/names.txt" in names
    assert "skelray/experiments/probe/synthetic.yaml" in names
    assert len(licences) == 1


def test_the_unpacked_wheel_works(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
        (entry_points,) = (n for n in archive.namelist() if n.endswith("entry_points.txt"))
        assert "skelray = skelray.platform.cli:main" in archive.read(entry_points).decode()
    expected = [tmp_path / "site/skelray" / name for name in ("__init__.py", "platform/dataset.py")]
    assert where_skelray_is(tmp_path / "site", tmp_path) == expected


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    """The table `project` of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def constraints() -> dict[str, Version]:
    """The pinned versions by normalised name; every line is `name==version` without extras."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert [p for p in pins if not re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", p)] == []
    return {name: Version(version) for name, version in (pin.split("==") for pin in pins)}


def test_every_dependency_is_pinned_inside_its_range(
    project: dict[str, Any], constraints: dict[str, Version]
) -> None:
    extras = project["optional-dependencies"]
    for text in [*project["dependencies"], *(line for lines in extras.values() for line in lines)]:
        requirement = Requirement(text)
        assert requirement.specifier, f"{text} has no range"
        assert constraints[canonicalize_name(requirement.name)] in requirement.specifier


def test_what_dependencies_bring_is_pinned(
    project: dict[str, Any], constraints: dict[str, Version]
) -> None:
    """Walks the installed metadata, so an install with the constraints is the tested one."""
    pending = [Requirement(text) for text in project["dependencies"]]
    seen: set[tuple[str, str]] = set()
    missing: set[str] = set()
    while pending:
        requirement = pending.pop()
        name = canonicalize_name(requirement.name)
        if name not in constraints and not is_part_of_torch(name):
            missing.add(name)
        for extra in {"", *requirement.extras}:
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            for text in metadata.requires(name) or []:
                child = Requirement(text)
                if child.marker is None or child.marker.evaluate({"extra": extra}):
                    pending.append(child)
    assert missing == set()


def is_part_of_torch(name: str) -> bool:
    """True for the libraries that a CUDA build of torch itself names at exact versions."""
    return name == "triton" or name.startswith(("nvidia-", "cuda-"))


@pytest.fixture(scope="module")
def cluster() -> dict[str, Any]:
    """The cluster file as `ray up` reads it."""
    return yaml.safe_load((ROOT / "cluster.yaml").read_text())


def test_the_cluster_file_is_valid_for_ray(cluster: dict[str, Any]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(cluster)
    validate_config(prepared)
    with pytest.raises(jsonschema.ValidationError):  # the check can fail
        validate_config({**prepared, "available_node_type": {}})


def test_the_images_hold_the_ray_of_the_constraints(
    cluster: dict[str, Any], constraints: dict[str, Version]
) -> None:
    for image in (cluster["docker"]["head_image"], cluster["docker"]["worker_image"]):
        assert image.split(":")[1].startswith(f"{constraints['ray']}-py3")


def test_the_cluster_installs_what_the_project_needs(
    cluster: dict[str, Any], project: dict[str, Any], tmp_path: Path
) -> None:
    """Runs the setup command with pip left out, in a folder as `file_mounts` fills it."""
    remote = "/home/ray/skelray-install"
    mounts = {Path(k): v for k, v in cluster["file_mounts"].items() if k.startswith(remote)}
    for target, source in mounts.items():
        shutil.copy(ROOT / source, tmp_path / target.name)
    (command,) = cluster["setup_commands"]
    listing, install = command.replace(remote, str(tmp_path)).rsplit("&&", 1)
    assert install.split()[:2] == ["pip", "install"]
    assert "-c constraints.txt -r requirements.txt" in install
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(["bash", "-ec", listing], check=True, env={**os.environ, "PATH": path})
    extras = project["optional-dependencies"]
    expected = [*project["dependencies"], *extras["video"], *extras["sweep"]]
    assert (tmp_path / "requirements.txt").read_text().splitlines() == expected
