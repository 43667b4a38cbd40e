"""The folders at the root shadow nothing and are reached through the links of `skelray` only."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LINKS = ("platform", "methods", "datasets", "experiments")


def run_python(*arguments: str, cwd: Path, pythonpath: Path | None = None) -> str:
    """Standard output of a new interpreter; a failure shows its standard error."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    if pythonpath is not None:
        environment["PYTHONPATH"] = str(pythonpath)
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("pythonpath", [None, ROOT], ids=["in-root", "root-on-path"])
def test_platform_is_the_standard_librarys(pythonpath: Path | None) -> None:
    code = "import platform; print(platform.__file__); platform.system()"
    found = Path(run_python("-c", code, cwd=ROOT, pythonpath=pythonpath))
    assert found.parent == Path(sysconfig.get_path("stdlib"))


@pytest.mark.parametrize("folder", LINKS)
def test_folder_at_the_root_is_no_package(folder: str) -> None:
    assert (ROOT / folder).is_dir()
    assert not (ROOT / folder / "__init__.py").exists()


def test_tests_are_no_packages() -> None:
    assert [str(p.relative_to(ROOT)) for p in (ROOT / "tests").rglob("__init__.py")] == []


@pytest.mark.parametrize("folder", LINKS)
def test_link_leads_to_the_folder(folder: str) -> None:
    link = ROOT / "skelray" / folder
    assert link.is_symlink()
    assert link.readlink() == Path("..", folder)  # relative: a copied tree keeps working
    assert link.resolve() == ROOT / folder


@pytest.mark.parametrize("name", ["methods", "datasets", "experiments"])
def test_lint_refuses_the_bare_name(name: str) -> None:
    source = f"import {name}\nfrom {name} import anything\nimport skelray.{name}\n"
    ruff = [sys.executable, "-m", "ruff", "check", "--no-cache", "--select", "TID251"]
    done = subprocess.run(
        [*ruff, "--output-format", "concise", "--stdin-filename", "benchmarks/x.py", "-"],
        cwd=ROOT,
        input=source,
        capture_output=True,
        text=True,
    )
    lines = [line.split(":")[1] for line in done.stdout.splitlines() if "TID251" in line]
    assert lines == ["1", "2"], done.stdout + done.stderr
