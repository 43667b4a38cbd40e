"""What `new-dataset` writes works as it is: in a checkout, and as a package of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from skelray.platform import cli
from skelray.platform.errors import UsageError
from skelray.platform.skeleton.specs import SKELETONS
from skelray.platform.template import is_checkout, new_dataset

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """This repository's platform with no data sets."""
    (tmp_path / "datasets").mkdir()
    (tmp_path / "skelray").mkdir()
    (tmp_path / "skelray/__init__.py").touch()
    for name in ("platform", "methods"):
        (tmp_path / name).symlink_to(ROOT / name)
    for name in ("platform", "methods", "datasets"):
        (tmp_path / "skelray" / name).symlink_to(Path("..", name))
    return tmp_path


def run(folder: Path, *command: str, path: Path | None = None) -> str:
    """Standard output of Python, which has to succeed, with `path` to import from."""
    paths = dict.fromkeys(("PYTHONPATH", "MYPYPATH"), str(path or folder))
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, **paths},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check_style(folder: Path, *settings: str) -> None:
    run(folder, "-m", "ruff", "check", "--no-cache", *settings)
    run(folder, "-m", "ruff", "format", "--check", "--no-cache", *settings)


def test_in_a_checkout_it_is_a_folder_of_it(checkout: Path) -> None:
    written = new_dataset("hand_signs", skeleton="coco", into=checkout)
    assert [path.relative_to(checkout).as_posix() for path in written] == [
        "datasets/hand_signs/dataset.py",
        "datasets/hand_signs/README.md",
        "datasets/hand_signs/__init__.py",
        "tests/datasets/hand_signs/test_dataset.py",
    ]
    check_style(checkout, "--config", str(ROOT / "pyproject.toml"), "datasets", "tests")
    report = run(
        checkout, "-m", "pytest", "-q", "--import-mode=importlib", "-p", "no:cacheprovider"
    )
    assert "2 passed" in report
    code = "from skelray.platform import registry; print(registry.load_dataset('hand_signs'))"
    found = "<class 'skelray.datasets.hand_signs.dataset.HandSignsDataset'>"
    assert run(checkout, "-c", code).strip() == found


def test_elsewhere_it_is_a_package_with_an_entry_point(tmp_path: Path) -> None:
    written = new_dataset("poses", skeleton="kinect_v1", into=tmp_path)
    folder = tmp_path / "skelray-poses"
    assert sorted(path.relative_to(folder).as_posix() for path in written) == [
        "README.md",
        "pyproject.toml",
        "skelray_poses/__init__.py",
        "skelray_poses/dataset.py",
        "tests/test_dataset.py",
    ]
    check_style(folder, "--isolated", "--line-length", "100")
    project = tomllib.loads((folder / "pyproject.toml").read_text())
    entries = project["project"]["entry-points"]["skelray.datasets"]
    assert entries == {"poses": "skelray_poses.dataset:PosesDataset"}
    report = run(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert "2 passed" in report


def test_mypy_finds_nothing(tmp_path: Path) -> None:
    new_dataset("poses", skeleton="kinect_v1", into=tmp_path)
    package = tmp_path / "skelray-poses"
    settings = ["--strict", "--follow-imports", "silent", "--cache-dir", str(tmp_path / "cache")]
    report = run(
        ROOT, "-m", "mypy", *settings, str(package / "skelray_poses/dataset.py"), path=package
    )
    assert "no issues found in 1 source file" in report


@pytest.mark.parametrize("skeleton", SKELETONS)
def test_every_skeleton_is_imported_by_its_name(skeleton: str, tmp_path: Path) -> None:
    first, *_ = new_dataset("poses", skeleton=skeleton, into=tmp_path)
    names: dict[str, object] = {"__name__": "poses"}
    exec(first.read_text(), names)
    assert names["PosesDataset"].skeleton is SKELETONS[skeleton]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Poses", "'Poses' is no name for a data set"),
        ("2d", "'2d' is no name"),
        ("a-b", "'a-b' is no name"),
        ("../up", "'../up' is no name"),
        ("", "'' is no name"),
        ("a" * 25, "is no name"),
        ("class", "'class' is no name"),
        ("nwucla", "there is a data set named 'nwucla' already"),
    ],
)
def test_other_names_are_refused(name: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=expected):
        new_dataset(name, skeleton="coco", into=tmp_path)
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_over(checkout: Path) -> None:
    theirs = checkout / "tests/datasets/signs/test_own.py"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("mine")
    with pytest.raises(UsageError, match="signs is there already: choose another name"):
        new_dataset("signs", skeleton="coco", into=checkout)
    assert not (checkout / "datasets/signs").exists() and theirs.read_text() == "mine"
    with pytest.raises(UsageError, match="/nowhere is not a folder"):
        new_dataset("signs", skeleton="coco", into=checkout / "nowhere")
    with pytest.raises(UsageError, match="unknown skeleton 'coco18': choose one of coco"):
        new_dataset("other", skeleton="coco18", into=checkout)


def test_the_command_says_what_to_do_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    cli.main(["new-dataset", "poses", "--skeleton", "kinect_v1"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "wrote skelray-poses/skelray_poses/dataset.py"
    assert lines[-5:] == [
        "  edit skelray-poses/skelray_poses/dataset.py: classes, subjects, skeleton, terms",
        "  pip install -e skelray-poses",
        "  skelray check poses --raw FOLDER",
        "  skelray prepare poses --raw FOLDER",
        "  skelray describe poses",
    ]


def test_this_repository_is_a_checkout(tmp_path: Path) -> None:
    assert is_checkout(ROOT) and not is_checkout(tmp_path)
