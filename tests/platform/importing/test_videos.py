"""A folder of videos: which are recordings, what they are called, what a file and its row give."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av", reason="PyAV is of the extra [video]")

from skelray.platform.data.store import check_sample
from skelray.platform.dataset import Dataset, SkeletonSample
from skelray.platform.errors import DataError
from skelray.platform.importing import VideoFolder
from skelray.platform.video.found import find_videos
from skelray.platform.video.writing import write_video


class Holidays(VideoFolder):
    name = "holidays"
    classes = ("swim", "walk")


def write(folder: Path, *names: str) -> None:
    """Videos of five small pictures."""
    for name in names:
        write_video(folder / name, np.zeros((5, 32, 48, 3), np.uint8), rate=25, codec="mpeg4")


def read(dataset: Dataset, folder: Path) -> dict[str, SkeletonSample]:
    samples = [sample for i in dataset.discover(folder).items for sample in dataset.read(i)]
    for sample in samples:
        check_sample(sample, type(dataset))
    return {sample.id: sample for sample in samples}


def test_every_video_is_an_unlabelled_recording(tmp_path: Path) -> None:
    write(tmp_path, "b.mp4", "deep/a_rgb.avi", "._b.mp4")
    (tmp_path / "notes.csv").write_text("of another program")
    found = Holidays().discover(tmp_path)
    assert [item.id for item in found.items] == ["a", "b"] == sorted(find_videos(tmp_path))
    assert found.skipped == {
        "._b.mp4": "a hidden file",
        "notes.csv": "not the table recordings.csv",
    }
    assert found.splits == {"all": {"train": ["a", "b"], "test": []}}
    for sample in read(Holidays(), tmp_path).values():
        assert sample.frame_bodies.tolist() == [0] * 5
        assert sample.xyz.shape == (0, 17, 2)
        assert (sample.height, sample.width, sample.fps) == (32, 48, 25.0)
        assert sample.label is None
        assert sample.clip is not None and Path(sample.clip).is_file()


def test_a_row_says_what_a_video_is(tmp_path: Path) -> None:
    write(tmp_path, "a.mp4", "b.mp4", "c.mp4")
    table = "id,label,subject,fps,split\na,walk,3,12.5,train\nb,,,,test\nd,swim,1,,\n"
    (tmp_path / "recordings.csv").write_text(table)
    found = Holidays().discover(tmp_path)
    assert found.splits["split"] == {"train": ["a"], "test": ["b"]}
    assert found.skipped["c"].startswith("not in ")
    assert found.skipped["d"].endswith("line 4: no file d.mp4 or .avi")
    a, b = read(Holidays(), tmp_path).values()
    assert (a.label, a.subject, a.fps, a.clip) == (1, 3, 12.5, str(tmp_path / "a.mp4"))
    assert (b.label, b.subject, b.fps) == (None, None, 25.0)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    write(tmp_path, "a.mp4")
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.write(tmp_path / "a.mp4", "b.mp4")
    (tmp_path / "c.mp4").write_bytes(b"no video")
    write(tmp_path, "a_rgb.avi")
    found = Holidays().discover(tmp_path)
    assert found.skipped == {"a_rgb.avi": f"the same recording as {tmp_path / 'a.mp4'}"}
    _, packed, damaged = found.items
    with pytest.raises(DataError, match=r"more.zip: b.mp4: videos are not read inside archives"):
        list(Holidays().read(packed))
    with pytest.raises(DataError, match=r"c.mp4 cannot be read"):
        list(Holidays().read(damaged))


def test_a_table_is_not_lost(tmp_path: Path) -> None:
    write(tmp_path, "a.mp4")
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "recordings.csv").write_text("id\na\n")
    with pytest.raises(DataError, match=r"recordings\.csv: the same .*: keep one table"):
        Holidays().discover(tmp_path)
