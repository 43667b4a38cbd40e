"""Small videos show what they should, hold every frame, and are made once."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

av = pytest.importorskip("av", reason="PyAV is of the extra [video]")
cv2 = pytest.importorskip("cv2", reason="OpenCV is of the extra [video]")

from skelray.platform.errors import DataError  # noqa: E402
from skelray.platform.video.compress import compress, crop  # noqa: E402
from skelray.platform.video.cropping import cut, resized  # noqa: E402
from skelray.platform.video.reading import frames_in_order, probe, read_frames  # noqa: E402
from skelray.platform.video.writing import write_video  # noqa: E402

COUNT, HEIGHT, WIDTH = 12, 120, 200
RATE = Fraction(30000, 1001)


def smooth(count: int = COUNT) -> np.ndarray:
    """(count, H, W, 3): colours that change slowly over the picture and with time."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    frames = [
        np.stack([x + 2 * t, y + 40 + t, 255 - x - t], axis=-1).clip(0, 255) for t in range(count)
    ]
    return np.stack(frames).astype(np.uint8)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("raw") / "S001_rgb.avi"
    write_video(path, smooth(), rate=RATE, codec="mpeg4", options={"qscale": "2"})
    return path


def read(path: Path) -> np.ndarray:
    return np.stack([frame.to_ndarray(format="rgb24") for frame in frames_in_order(path)])


def test_the_shorter_side_is_as_asked_and_every_frame_stays(source: Path, tmp_path: Path) -> None:
    small = compress(source, tmp_path / "S001.mp4", short_side=60)
    info = probe(tmp_path / "S001.mp4")
    assert (small.frames, small.height, small.width) == (COUNT, 60, 100)
    assert (info.frames, info.height, info.width, info.rate) == (COUNT, 60, 100, RATE)
    assert (small.source_height, small.source_width) == (HEIGHT, WIDTH)
    assert small.box == (0, 0, WIDTH, HEIGHT)
    expected = resized(smooth().reshape(COUNT, HEIGHT, WIDTH, 3), 60, shrink_by_area=True)
    square = resized(read(tmp_path / "S001.mp4"), 60)
    assert np.abs(square.astype(int) - expected).mean() < 4


def test_pictures_are_not_enlarged_and_sides_are_even(source: Path, tmp_path: Path) -> None:
    same = compress(source, tmp_path / "a.mp4", short_side=540)
    assert (same.height, same.width) == (HEIGHT, WIDTH)
    odd = compress(source, tmp_path / "b.mp4", short_side=75)
    assert (odd.height, odd.width) == (76, 124)


def test_persons_are_cut_out_with_black_outside(source: Path, tmp_path: Path) -> None:
    made = crop(source, tmp_path / "a.mp4", box=(-20, 40, 100, 160), size=60)
    assert (made.frames, made.height, made.width) == (COUNT, 60, 60)
    found = read(tmp_path / "a.mp4").astype(int)
    assert found[:, :, :8].max() < 30  # left of the picture
    assert found[:, 42:].max() < 30  # below it
    inside = smooth()[:, 40:, :100][:, ::2, ::2].astype(int)
    assert np.abs(found[:, :40, 10:] - inside).mean() < 6


def test_a_video_that_is_there_is_kept_and_another_made_again(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "a.mp4"
    first = crop(source, target, box=(0, 0, 100, 100), size=60)
    made = target.stat().st_mtime_ns
    assert crop(source, target, box=(0, 0, 100, 100), size=60) == first
    assert target.stat().st_mtime_ns == made
    assert crop(source, target, box=(0, 0, 90, 90), size=60).box == (0, 0, 90, 90)
    assert target.stat().st_mtime_ns != made


def test_colours_stay_whatever_range_the_source_has(tmp_path: Path) -> None:
    source, colour = tmp_path / "full.avi", (200, 120, 40)
    with av.open(source, mode="w") as container:
        stream = container.add_stream("mjpeg", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuvj420p"
        picture = np.full((64, 64, 3), colour, np.uint8)
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    compress(source, tmp_path / "a.mp4", short_side=32)
    crop(source, tmp_path / "b.mp4", box=(0, 0, 64, 64), size=32)
    for name in ("a.mp4", "b.mp4"):
        found, _ = read_frames(tmp_path / name, np.array([0, 2]))
        assert np.abs(found.mean(axis=(0, 1, 2)) - colour).max() < 6


def test_a_damaged_source_leaves_nothing(source: Path, tmp_path: Path) -> None:
    broken = tmp_path / "S001_rgb.avi"
    broken.write_bytes(source.read_bytes()[: source.stat().st_size * 2 // 3])
    with pytest.raises(DataError, match=r"S001_rgb.avi"):
        compress(broken, tmp_path / "out" / "S001.mp4", short_side=60)
    assert not any(tmp_path.glob("out/*"))


def test_boxes_are_cut_as_by_padding() -> None:
    frames = smooth(2)
    padded = np.pad(frames, ((0, 0), (300, 300), (300, 300), (0, 0)))
    for box in ((10, 20, 60, 70), (-30, -5, 90, 115), (150, 80, 260, 190), (-50, 5, -10, 45)):
        left, top, right, bottom = (side + 300 for side in box)
        np.testing.assert_array_equal(cut(frames, box), padded[:, top:bottom, left:right])
