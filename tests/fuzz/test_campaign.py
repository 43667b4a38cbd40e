"""The campaign's own test: whole files are read, damaged ones too or refused, faults are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from skelray.platform.errors import DataError
from tests.fuzz import campaign
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_whole_files_are_read(name: str, tmp_path: Path) -> None:
    TARGETS[name].write(tmp_path / "raw")
    assert campaign.read_all(TARGETS[name], tmp_path / "raw") >= 2


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_files_are_read_or_refused(name: str, tmp_path: Path) -> None:
    tally = campaign.fuzz(TARGETS[name], seed=10**6, count=40, findings=tmp_path)
    assert tally["found"] == 0 and tally["read"] + tally["refused"] == 40
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error", [ValueError("oops"), DataError("two\nlines"), DataError("a name is missing")]
)
def test_findings_are_kept(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    target = TARGETS["nwucla"]
    monkeypatch.setattr(target.dataset, "read", fail)
    tally = campaign.fuzz(target, seed=1, count=2, findings=tmp_path)
    assert tally == {"found": 2}
    kept = tmp_path / "nwucla-1"
    assert (
        "Error" in (kept / "traceback.txt").read_text()
        or "Finding" in (kept / "traceback.txt").read_text()
    )
    assert (kept / "a01_s01_e00_v01.json").exists()
