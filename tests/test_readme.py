"""The README's commands, run as they stand in its bash blocks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(kind: str) -> list[list[str]]:
    found = re.findall(rf"^```{kind}\n(.*?)^```", TEXT, flags=re.DOTALL | re.MULTILINE)
    return [[line.strip() for line in block.splitlines() if line.strip()] for block in found]


def commands(kind: str) -> list[str]:
    return [command for block in blocks(kind) for command in block]


def shell(command: str, home: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", command],
        cwd=ROOT,
        env={**os.environ, "PATH": path, "SKELRAY_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )


def test_the_two_commands_of_a_fresh_machine_come_first() -> None:
    assert commands("bash")[0] == "make demo"
    assert commands("bash")[-1] == "make test"


def test_every_file_that_the_readme_links_is_there() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", TEXT)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.slow
@pytest.mark.timeout(1300)
@pytest.mark.parametrize("block", [b for b in blocks("bash") if b != ["make test"]], ids="; ".join)
def test_blocks_do_what_they_say(block: list[str], tmp_path: Path) -> None:
    for command in block:
        done = shell(command, tmp_path)
        assert done.returncode == 0, done.stderr[-3000:]
        assert done.stdout.strip()


@pytest.mark.parametrize("command", [c for c in commands("sh") if c.startswith("python")])
def test_commands_with_placeholders_exist(command: str, tmp_path: Path) -> None:
    """What needs somebody's data ends in one line that says what is missing, not in a traceback."""
    done = shell(re.sub(r"FOLDER|RUN", str(tmp_path / "absent"), command), tmp_path)
    assert done.returncode in (1, 2)
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert done.stderr.startswith("error: ")
