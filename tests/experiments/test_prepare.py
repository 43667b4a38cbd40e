"""Preparing as a user does: killed at any moment it goes on, and ends with the same bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.experiments import commands

COMMAND = ("experiments/prepare.py", "synthetic", "--size", "small")


def shards(home: Path) -> dict[str, bytes]:
    files = home.glob("stores/synthetic-small*/part-*.parquet")
    return {file.name: file.read_bytes() for file in files}


@pytest.mark.slow
def test_killed_three_times_it_ends_with_the_same_bytes(tmp_path: Path) -> None:
    whole = commands.run(tmp_path / "whole", *COMMAND)
    assert whole.returncode == 0, whole.stderr
    home = tmp_path / "killed"
    (home / "raw").mkdir(parents=True)
    (home / "raw/synthetic-small").symlink_to(tmp_path / "whole/raw/synthetic-small")
    for count in (1, 6, 11):
        commands.run_and_kill(home, *COMMAND, when=lambda c=count: len(shards(home)) >= c)
        assert not (home / "stores/synthetic-small").exists()
        assert len(shards(home)) >= count
    done = commands.run(home, *COMMAND)
    assert done.returncode == 0, done.stderr
    assert shards(home) == shards(tmp_path / "whole")
    manifests = [
        (h / "stores/synthetic-small/manifest.json").read_text().replace(str(h), "HOME")
        for h in (home, tmp_path / "whole")
    ]
    assert manifests[0] == manifests[1]
    left = {file.suffix for file in (home / "stores/synthetic-small").iterdir()}
    assert left == {".parquet", ".json"}
