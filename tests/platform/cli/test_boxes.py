"""`skelray boxes`: what it prints, how it ends, and the file it leaves."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av", reason="PyAV is of the extra [video]")

from skelray.platform import cli
from skelray.platform.data.boxes import read_boxes
from skelray.platform.video.writing import write_video

ROOT = Path(__file__).resolve().parents[3]

DETECTOR = """
import numpy as np

def everything():
    print("loaded")
    return lambda frames: [np.array([[0, 0, 100, 100, 0.9]])] * len(frames)

def mistaken():
    return lambda frames: []
"""


@pytest.fixture(autouse=True)
def toy_boxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A module of detectors; what `main` sets for a whole process is put back."""
    (tmp_path / "toy_boxes.py").write_text(DETECTOR)
    monkeypatch.syspath_prepend(str(tmp_path))
    handler, handlers = signal.getsignal(signal.SIGTERM), logging.root.handlers[:]
    yield
    signal.signal(signal.SIGTERM, handler)
    logging.root.handlers[:] = handlers
    sys.modules.pop("toy_boxes", None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a_rgb.avi", "below/b.mp4"):
        frames = [np.zeros((120, 160, 3), np.uint8)] * 8
        write_video(tmp_path / "videos" / name, frames, rate=30)
    return tmp_path / "videos"


def boxes(folder: Path, *arguments: str, detector: str = "toy_boxes:everything") -> None:
    out = folder.parent / "out/boxes.parquet"
    cli.main(["boxes", str(folder), "--detector", detector, "--out", str(out), *arguments])


def test_boxes_of_a_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder.parent / "out/boxes.parquet"
    boxes(folder)
    printed = capsys.readouterr()
    assert printed.out == f"loaded\nboxes of 2 videos added to {out}\n"
    assert "person boxes: 100%" in printed.err
    file = read_boxes(out)
    assert file.about == {"detector": "toy_boxes:everything", "rules": "sound"}
    assert list(file) == ["a", "b"]
    assert file["b"].boxes.tolist() == [[0, 0, 100, 100, pytest.approx(0.9)]] * 8
    boxes(folder)
    assert capsys.readouterr().out == f"boxes of 0 videos added to {out}, 2 were there before\n"


def test_published_rules_are_another_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    boxes(folder, "--published")
    assert read_boxes(folder.parent / "out/boxes.parquet").about["rules"] == "as published"
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        boxes(folder)
    assert stopped.value.code == 2
    assert "rules as published, not with" in capsys.readouterr().err


def test_damaged_videos_are_listed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a_rgb.avi").write_bytes(b"damaged")
    boxes(folder)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith(f"left out {folder / 'a_rgb.avi'} cannot be read (")
    assert lines[2].startswith("boxes of 1 videos added")
    (folder / "below/b.mp4").write_bytes(b"damaged")
    boxes(folder)  # one of them has its boxes
    (folder.parent / "out/boxes.parquet").unlink()
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        boxes(folder)
    printed = capsys.readouterr()
    assert stopped.value.code == 1
    assert printed.out.count("left out") == 2
    last = printed.err.splitlines()[-1]
    assert last == f"error: none of the 2 videos in {folder} can be read, see above"
    assert list((folder.parent / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("detector", "status", "said"),
    [
        ("toy_boxes:better", 2, "detector toy_boxes:better: toy_boxes has no function 'better'"),
        ("toy_away:make", 2, "detector toy_away:make: toy_away cannot be imported"),
        ("toy_boxes:mistaken", 1, "the detector returned 0 results, expected a list of 8"),
    ],
)
def test_a_wrong_detector_is_one_line(
    detector: str, status: int, said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        boxes(folder, detector=detector)
    assert stopped.value.code == status
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ") and said in last


def test_without_pyav_one_line_says_what_to_install(folder: Path) -> None:
    code = (
        "import sys; sys.modules['av'] = None\n"
        "from skelray.platform.cli import main\n"
        f"main(['boxes', {str(folder)!r}, '--detector', 'a:b', '--out', 'boxes.parquet'])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == (
        "error: RGB needs av, which is not installed: pip install 'skelray[video]'\n"
    )
