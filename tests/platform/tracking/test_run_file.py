from __future__ import annotations

import json
from pathlib import Path

import pytest

from skelray.platform.errors import DataError
from skelray.platform.tracking.run_file import Description, RunFile, Stored

ABOUT = Description(experiment="synthetic_xsub", name="m-0123ab", params={"a": "1"}, tags={})


def test_a_start_goes_on_with_what_is_known(tmp_path: Path) -> None:
    first = RunFile.start(tmp_path, ABOUT)
    assert (first.status, first.ended) == ("RUNNING", None)
    first.stores["sqlite:///a.db"] = Stored(run_id="r", described=True, metrics_step=40)
    first.end("KILLED", at=12.5)
    first.write(tmp_path)
    assert RunFile.read(tmp_path) == first

    again = RunFile.start(tmp_path, ABOUT.model_copy(update={"tags": {"recipe": "small"}}))
    assert RunFile.read(tmp_path) == again
    assert (again.key, again.began) == (first.key, first.began)
    assert (again.status, again.ended) == ("RUNNING", None)
    assert again.about.tags == {"recipe": "small"}
    expected = Stored(run_id="r", described=False, metrics_step=40)
    assert again.stores == {"sqlite:///a.db": expected}


def test_each_run_has_a_key_of_its_own(tmp_path: Path) -> None:
    keys = {RunFile.start(tmp_path / name, ABOUT).key for name in ("a", "b")}
    assert len(keys) == 2 and all(len(key) == 32 for key in keys)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"about": {"experim', "Invalid JSON"),
        (b"{}", "Field required"),
        (b"\xff\xfe\x00", "Invalid JSON"),
        (json.dumps({"about": ABOUT.model_dump(), "status": "DONE"}).encode(), "'RUNNING'"),
    ],
)
def test_a_damaged_file_is_one_line(content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(DataError) as raised:
        RunFile.read(tmp_path)
    message = str(raised.value)
    assert message.startswith(f"{tmp_path / 'run.json'} is damaged (") and reason in message
    assert "\n" not in message


def test_a_folder_without_the_file_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no run: run\.json is missing"):
        RunFile.read(tmp_path)
