"""Another package's method and data set, as if it were installed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from skelray.platform import registry

MODULE = '''
from skelray.platform.dataset import Dataset
from skelray.platform.method import Method


class Theirs(Method):
    """A method of another package."""


class Recordings(Dataset):
    """A data set of another package."""
'''


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Path]]:
    """`install(entry points)` puts a distribution with the module `theirs` on sys.path."""

    def fabricate(entry_points: str) -> Path:
        folder = tmp_path / "site"
        about = folder / "theirs-1.dist-info"
        about.mkdir(parents=True)
        (folder / "theirs.py").write_text(MODULE)
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1\n")
        (about / "entry_points.txt").write_text(entry_points)
        monkeypatch.syspath_prepend(str(folder))
        registry._plugins.cache_clear()
        return folder

    yield fabricate
    sys.modules.pop("theirs", None)
    registry._plugins.cache_clear()
