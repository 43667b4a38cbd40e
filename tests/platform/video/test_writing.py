"""Written videos hold their frames, rate and size; nothing is left of one that failed."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

av = pytest.importorskip("av", reason="PyAV is of the extra [video]")

from skelray.platform.video.writing import SEEKABLE, write_video  # noqa: E402


def frames(count: int, height: int = 32, width: int = 48) -> list[np.ndarray]:
    """Each of one grey, brighter from frame to frame."""
    return [np.full((height, width, 3), 20 + 10 * t, np.uint8) for t in range(count)]


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("b.avi", "mpeg4")])
def test_frames_rate_and_size_come_back(name: str, codec: str, tmp_path: Path) -> None:
    path = tmp_path / "new" / name
    rate = Fraction(30000, 1001)
    assert write_video(path, frames(20), rate=rate, codec=codec) == 20
    with av.open(path) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (48, 32)
        assert stream.average_rate == rate
        read = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    np.testing.assert_allclose([f.mean() for f in read], 20 + 10 * np.arange(20), atol=5)
    assert [file.name for file in path.parent.iterdir()] == [name]


def test_seekable_videos_have_a_key_frame_in_twelve(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    write_video(path, [noise] * 24, rate=30, options=SEEKABLE)
    with av.open(path) as container:
        keys = [frame.key_frame for frame in container.decode(video=0)]
    assert [number for number, key in enumerate(keys) if key] == [0, 12]


def test_frames_that_do_not_fit_leave_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with pytest.raises(ValueError, match="no frames"):
        write_video(path, [], rate=30)
    with pytest.raises(ValueError, match="48 x 31: both must be even"):
        write_video(path, frames(1, height=31), rate=30)
    with pytest.raises(ValueError, match="48 x 30 in a video of 48 x 32"):
        write_video(path, [*frames(1), *frames(1, height=30)], rate=30)

    def broken() -> Iterator[np.ndarray]:
        yield from frames(2)
        raise OSError("the source ends here")

    with pytest.raises(OSError, match="ends here"):
        write_video(path, broken(), rate=30)
    assert list(tmp_path.iterdir()) == []
