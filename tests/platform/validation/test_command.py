"""`skelray check` as a user meets it: what it prints, and with which status it ends."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from skelray.platform import cli, registry

MODULE = """
from skelray.platform.importing import ArrayFolder
from skelray.platform.skeleton.specs import KINECT_V1


class Gestures(ArrayFolder):
    name, skeleton, persons, classes = "gestures", KINECT_V1, 1, ("wave", "point")
"""
BROKEN = """
from skelray.platform.skeleton.spec import SkeletonSpec

STICK = SkeletonSpec(
    name="stick", joints=("a", "b"), edges=((0, 2),), bone_pairs=((0, 0), (1, 0)),
    left_right=((0, 1),), parts={"all": (0, 1)}, shoulders=(0, 1),
)
"""

Install = Callable[[str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """`install(module)` announces its class Gestures as the data set `gestures`."""
    monkeypatch.setenv("SKELRAY_HOME", str(tmp_path / "home"))
    handler = signal.getsignal(signal.SIGTERM)

    def write(module: str) -> None:
        about = tmp_path / "site" / "gestures_plugin-1.dist-info"
        about.mkdir(parents=True)
        (tmp_path / "site/gestures_plugin.py").write_text(module)
        (about / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: gestures_plugin\nVersion: 1\n"
        )
        (about / "entry_points.txt").write_text(
            "[skelray.datasets]\ngestures = gestures_plugin:Gestures\n"
        )
        monkeypatch.syspath_prepend(str(tmp_path / "site"))
        registry._plugins.cache_clear()

    yield write
    signal.signal(signal.SIGTERM, handler)
    sys.modules.pop("gestures_plugin", None)
    registry._plugins.cache_clear()


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Four recordings with labels."""
    folder = tmp_path / "raw"
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(4):
        body = random.uniform(size=(1, 20, 3)) * (1, 1, 0.2)
        np.save(folder / f"r{number}.npy", body + 0.01 * random.normal(size=(9, 20, 3)))
    (folder / "recordings.csv").write_text("id,label\nr0,wave\nr1,point\nr2,wave\nr3,\n")
    return folder


def failure(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, str, str]:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["check", *arguments])
    printed = capsys.readouterr()
    return stopped.value.code, printed.out, printed.err.splitlines()[-1]


def test_warnings_end_well(install: Install, raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install(MODULE)
    np.save(raw / "r9.npy", np.ones((3, 20, 3)))
    cli.main(["check", "gestures", "--raw", str(raw)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        "warning: files and rows that are left out: 1",
        f"  r9: not in {raw}/recordings.csv",
    ]
    assert lines[-3:] == [
        "note: unlabelled recordings (they pretrain; no probe reads them): 1",
        "  1 of 4",
        f"gestures: no errors, {sum(line.startswith('warning') for line in lines)} warnings",
    ]


def test_errors_end_with_status_1(
    install: Install, raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(MODULE)
    np.save(raw / "r1.npy", np.ones((3, 19, 3)))
    (raw / "recordings.csv").write_text("id,label\nr0,wave\nr1,point\nr2,2\nr3,\n")
    status, out, line = failure(capsys, "gestures", "--raw", str(raw))
    assert (status, line) == (1, "error: 2 errors in data set gestures, see above")
    assert out.splitlines()[:3] == [
        "error: recordings that cannot be read (prepare leaves them out): 2",
        f"  {raw}/r1.npy: the array is (3, 19, 3), expected (T, 20, 3) or (T, persons, 20, 3)",
        f"  {raw}/recordings.csv, line 4 (r2): label is '2', expected one of the 2 class names or "
        "a number from 0 to 1",
    ]
    cli.main(["check", "gestures", "--raw", str(raw), "--limit", "2"])  # the first and the last
    assert capsys.readouterr().out.splitlines()[-1].startswith("gestures: no errors")


def test_a_skeleton_that_contradicts_itself_is_one_line(
    install: Install, raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(BROKEN)
    status, out, line = failure(capsys, "gestures", "--raw", str(raw))
    assert (status, out) == (2, "")
    assert line.startswith(
        "error: data set gestures cannot be loaded: ValueError: skeleton stick: edges names "
        "joints [2] outside 0..1 (spec.py, line "
    )


def test_a_module_that_is_no_python_is_one_line(
    install: Install, raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install("class Gestures(:\n")
    status, _, line = failure(capsys, "gestures", "--raw", str(raw))
    assert status == 2
    assert line.startswith("error: data set gestures cannot be loaded: SyntaxError: invalid syntax")
    assert line.endswith("(gestures_plugin.py, line 1)")


def test_a_class_of_another_name_is_one_line(
    install: Install, raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(MODULE.replace('"gestures"', '"gesture"'))
    status, _, line = failure(capsys, "gestures", "--raw", str(raw))
    assert status == 2
    assert line == "error: data set gestures is named 'gesture' in its class: make the names equal"


def test_what_is_not_there(install: Install, raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install(MODULE)
    for arguments, status, expected in (
        (("gestures", "--raw", "/no/such"), 2, "error: --raw /no/such does not exist"),
        (("gestures",), 1, "error: data set gestures is not prepared: run `skelray prepare ges"),
        (("gesture",), 2, "error: no data set named 'gesture': did you mean 'gestures'?"),
    ):
        found, _, line = failure(capsys, *arguments)
        assert (found, line[: len(expected)]) == (status, expected)
