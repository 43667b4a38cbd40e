"""Frames by number equal those read in order; damaged files are repaired or refused in one line."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

av = pytest.importorskip("av", reason="PyAV is of the extra [video]")

from skelray.platform.errors import DataError  # noqa: E402
from skelray.platform.video.reading import frames_in_order, probe, read_frames  # noqa: E402
from skelray.platform.video.writing import SEEKABLE, write_video  # noqa: E402
from tests.platform.data.films import damage  # noqa: E402

COUNT = 40


def pictures() -> list[np.ndarray]:
    """A pattern that moves to the right by four pixels a frame."""
    pattern = np.random.default_rng(0).integers(0, 255, (8, 12, 3), dtype=np.uint8)
    large = pattern.repeat(8, axis=0).repeat(8, axis=1)
    return [np.roll(large, 4 * t, axis=1) for t in range(COUNT)]


@pytest.fixture(scope="module", params=["mp4", "avi"])
def video(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / f"a.{request.param}"
    if path.suffix == ".avi":
        write_video(path, pictures(), rate=25, codec="mpeg4")
    else:
        write_video(path, pictures(), rate=25, options=SEEKABLE)
    return path


def test_probe_counts_without_decoding(video: Path) -> None:
    info = probe(video)
    assert (info.frames, info.height, info.width) == (COUNT, 64, 96)
    assert info.rate == Fraction(25)


LIBRARIES = pytest.mark.parametrize("library", ["decord", "pyav"])


@LIBRARIES
def test_frames_by_number_equal_those_in_order(
    video: Path, library: Literal["decord", "pyav"]
) -> None:
    all_frames = [frame.to_ndarray(format="rgb24") for frame in frames_in_order(video)]
    assert len(all_frames) == COUNT
    indices = np.array([39, 0, 7, 7, 12, 30, 0])
    frames, replaced = read_frames(video, indices, library)
    assert replaced == 0
    np.testing.assert_array_equal(frames, np.stack([all_frames[i] for i in indices]))


def damaged(folder: Path) -> Path:
    """A video with half a second destroyed in its middle."""
    path = folder / "damaged.mp4"
    write_video(path, pictures(), rate=25, options=SEEKABLE)
    damage(path)
    return path


@LIBRARIES
def test_frames_that_cannot_be_decoded_are_replaced_by_near_ones(
    tmp_path: Path, library: Literal["decord", "pyav"]
) -> None:
    path = damaged(tmp_path)
    frames, replaced = read_frames(path, np.arange(COUNT), library)
    assert 0 < replaced < COUNT / 2
    whole = tmp_path / "whole.mp4"
    write_video(whole, pictures(), rate=25, options=SEEKABLE)
    # of the same library: decord's own turns colours into RGB otherwise on some processors
    expected = np.stack([frame.to_ndarray(format="rgb24") for frame in frames_in_order(whole)])
    np.testing.assert_array_equal(frames[:10], expected[:10])  # before the damage
    np.testing.assert_array_equal(frames[-3:], expected[-3:])  # after the next key frame
    with pytest.raises(DataError, match=r"damaged.mp4 cannot be read"):
        list(frames_in_order(path))


def test_what_is_no_video_is_one_line(tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    cut = tmp_path / "cut.mp4"
    write_video(cut, pictures(), rate=25)
    cut.write_bytes(cut.read_bytes()[:2000])
    for path in (text, cut, tmp_path / "absent.mp4"):
        for read in (
            lambda p: read_frames(p, np.array([0])),
            lambda p: [*frames_in_order(p)],
            probe,
        ):
            with pytest.raises(DataError, match=f"{path.name} cannot be read") as found:
                read(path)
            assert "\n" not in str(found.value)


def test_a_video_that_ends_early_is_named(tmp_path: Path) -> None:
    path = tmp_path / "short.avi"
    write_video(path, pictures(), rate=25, codec="mpeg4")
    content, said = path.read_bytes(), []
    for part in range(30, 50):
        path.write_bytes(content[: len(content) * part // 60])
        with pytest.raises(DataError, match=r"short\.avi") as found:
            list(frames_in_order(path))
        said.append(str(found.value))
    assert any(f"of {COUNT} frames" in line for line in said)  # cut between two frames
