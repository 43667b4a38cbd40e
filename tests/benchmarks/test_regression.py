"""The comparison of ratios, and that the stored ones are those that are measured."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def regression() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "regression", ROOT / "benchmarks" / "regression.py"
    )
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_moved_by_more_than_a_fifth_is_said(regression: ModuleType) -> None:
    stored = {"a.py": {"same": 2.0, "slower": 2.0, "faster": 2.0, "gone": 1.0}}
    now = {"a.py": {"same": 1.7, "slower": 1.5, "faster": 3.0, "more": 1.0}}
    lines, fell = regression.compared(stored, now)
    assert fell
    assert lines == [
        "fell by 25%: a.py: slower: 2 -> 1.5",
        "rose by 50%: a.py: faster: 2 -> 3",
        "no longer measured: a.py: gone",
        "new: a.py: more: 1",
    ]


def test_what_rose_is_no_failure(regression: ModuleType) -> None:
    lines, fell = regression.compared({"a.py": {"x": 1.0}}, {"a.py": {"x": 2.0}})
    assert len(lines) == 1 and not fell
    assert regression.compared({"a.py": {"x": 1.0}}, {"a.py": {"x": 1.0}}) == ([], False)


def test_ratios_of_every_script_are_stored(regression: ModuleType) -> None:
    stored = json.loads(regression.STORED.read_text())
    assert set(stored) == set(regression.SCRIPTS)
    for ratios in stored.values():
        assert ratios and all(value > 0 for value in ratios.values())


@pytest.mark.parametrize("script", sorted(p.name for p in (ROOT / "benchmarks").glob("*.py")))
def test_every_benchmark_says_what_it_measures(script: str) -> None:
    """Nothing but `reference.py` and `measure.py`, which others import, lacks a command."""
    command = [sys.executable, ROOT / "benchmarks" / script, "--help"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert ("usage:" in done.stdout) is (script not in {"measure.py", "reference.py"})
