"""Boxes of a folder: every video once, by one detector, whatever interrupts the work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av", reason="PyAV is of the extra [video]")

from skelray.platform.clips.tracklets import SOUND
from skelray.platform.data.boxes import read_boxes
from skelray.platform.errors import DataError, UsageError
from skelray.platform.video.boxes import Made, make_boxes
from skelray.platform.video.found import find_videos, sample_id
from skelray.platform.video.writing import write_video


class Everything:
    """A detector to which the whole picture is a person, more certain where it is bright."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.loaded = self.videos = 0
        self.stop_at = stop_at

    def load(self) -> Everything:
        self.loaded += 1
        return self

    def __call__(self, frames: np.ndarray) -> list[np.ndarray]:
        self.videos += 1  # they are shorter than a chunk
        if self.videos == self.stop_at:
            raise KeyboardInterrupt
        height, width = frames.shape[1:3]
        score = 0.96 + frames.mean() / 10000
        return [np.array([[0, 0, width, height, score]])] * len(frames)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four videos of different lengths and sizes."""
    names = ("S001_rgb.avi", "S002.mp4", "deep/S003_rgb.MP4", "deep/er/S004.avi")
    for number, name in enumerate(names):
        frame = np.full((32, 48 + 2 * number, 3), 40 * number, np.uint8)
        write_video(tmp_path / "videos" / name, [frame] * (number + 1), rate=30)
    for name in (".S005.123.mp4", "S006.txt"):
        (tmp_path / "videos" / name).write_bytes(b"none of ours")
    (tmp_path / "videos/S007.mp4").mkdir()
    return tmp_path / "videos"


def made(folder: Path, detector: Everything, **about: str) -> Made:
    return make_boxes(
        find_videos(folder),
        detector.load,
        folder.parent / "boxes.parquet",
        rules=SOUND,
        about={"detector": "toys:detector", "rules": "sound"} | about,
    )


def test_ids_are_names_of_files() -> None:
    assert sample_id(Path("nturgb+d_rgb/S001C001P001R001A001_rgb.avi")) == "S001C001P001R001A001"
    assert sample_id(Path("Cook.Cleandishes_p02_r00_v02_c03.mp4")) == (
        "Cook.Cleandishes_p02_r00_v02_c03"
    )
    assert sample_id(Path("a_rgb_b.mp4")) == "a_rgb_b"


def test_every_video_once_by_one_detector(folder: Path) -> None:
    detector = Everything()
    assert made(folder, detector) == Made(4, 0, {})
    assert (detector.loaded, detector.videos) == (1, 4)
    file = read_boxes(folder.parent / "boxes.parquet")
    assert file.about["detector"] == "toys:detector" and list(file) == [
        "S001",
        "S002",
        "S003",
        "S004",
    ]
    for number, video in enumerate(file.values()):
        width = 48 + 2 * number
        assert (video.height, video.width) == (32, width)
        assert video.boxes[:, :4].tolist() == [[0, 0, width, 32]] * (number + 1)
    assert sorted(entry.name for entry in folder.parent.iterdir()) == ["boxes.parquet", "videos"]


def test_only_new_videos_are_looked_at(folder: Path) -> None:
    made(folder, Everything())
    out = folder.parent / "boxes.parquet"
    before = out.read_bytes()
    again = Everything()
    assert made(folder, again) == Made(0, 4, {})
    assert again.loaded == 0 and out.read_bytes() == before
    write_video(folder / "S000.mp4", [np.zeros((32, 32, 3), np.uint8)] * 2, rate=30)
    (folder / "S002.mp4").unlink()  # its boxes stay
    assert made(folder, again) == Made(1, 3, {})
    assert (again.loaded, again.videos) == (1, 1)
    assert list(read_boxes(out)) == ["S000", "S001", "S002", "S003", "S004"]


def test_an_interruption_costs_the_video_it_was_at(folder: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        made(folder, Everything(stop_at=3))
    assert not (folder.parent / "boxes.parquet").exists()
    rest = Everything()
    assert made(folder, rest) == Made(2, 2, {})
    assert rest.videos == 2
    resumed = (folder.parent / "boxes.parquet").read_bytes()
    (folder.parent / "boxes.parquet").unlink()
    made(folder, Everything())
    assert (folder.parent / "boxes.parquet").read_bytes() == resumed


def test_damaged_videos_are_left_out(folder: Path) -> None:
    damaged = folder / "deep/S003_rgb.MP4"
    damaged.write_bytes(damaged.read_bytes()[:100])
    result = made(folder, Everything())
    assert (result.new, result.before) == (3, 0)
    assert list(result.damaged) == [damaged]
    assert "deep/S003_rgb.MP4 cannot be read" in result.damaged[damaged]
    frame = np.zeros((32, 48, 3), np.uint8)
    damaged.unlink()
    write_video(folder / "deep/S003_rgb.avi", [frame], rate=30)
    assert made(folder, Everything()) == Made(1, 3, {})


def test_a_detectors_mistake_ends_the_work_and_keeps_what_is_done(folder: Path) -> None:
    class Mistaken(Everything):
        def __call__(self, frames: np.ndarray) -> list[np.ndarray]:
            found = super().__call__(frames)
            return found if self.videos < 3 else found[1:]

    with pytest.raises(DataError, match=r"frames 0 to \d: the detector returned \d results"):
        made(folder, Mistaken())
    assert made(folder, Everything()) == Made(2, 2, {})


def test_boxes_of_other_rules_are_not_mixed(folder: Path) -> None:
    made(folder, Everything())
    for rules in ("as published", "of tomorrow"):
        detector = Everything()
        with pytest.raises(UsageError, match=r"boxes.parquet was made with .*give another --out"):
            made(folder, detector, rules=rules)
        assert detector.loaded == 0
    assert not (folder.parent / "boxes.parquet.partial").exists()


def test_folders_without_videos_and_names_that_clash(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="absent: there is no such folder"):
        find_videos(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: no \*\.mp4 nor \*\.avi below it"):
        find_videos(tmp_path / "empty")
    (folder / "S001.mp4").write_bytes(b"")
    with pytest.raises(DataError, match=r"S001\.mp4 and .*S001_rgb\.avi have the same id, S001"):
        find_videos(folder)
