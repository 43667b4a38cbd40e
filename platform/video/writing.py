"""Writes video files through PyAV: whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.stream import VideoStream

# every frame reachable from one of at most eleven before it: training reads frames here and there;
# with x264's macroblock tree, small pictures encoded twice are at times not the same
SEEKABLE = {"g": "12", "bf": "0", "tune": "fastdecode", "mbtree": "0"}


def write_video(
    path: Path,
    frames: Iterable[np.ndarray],
    *,
    rate: Fraction | int,
    codec: str = "libx264",
    options: Mapping[str, str] | None = None,
    comment: str = "",
) -> int:
    """Writes `path` atomically; returns the number of frames.

    Args:
        path: its ending names the container (`.mp4`, `.avi`); folders are made.
        frames: (H, W, 3) uint8 RGB; H and W even, the same in all.
        rate: frames per second.
        codec: of FFmpeg.
        options: of the codec.
        comment: a note in the file; see `reading.probe`.

    Raises:
        ValueError: no frames, or frames of odd or different sizes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        with av.open(os.fspath(scratch), mode="w") as container:
            container.metadata["comment"] = comment
            stream = container.add_stream(codec, rate=rate, options=dict(options or {}))
            assert isinstance(stream, VideoStream)
            stream.pix_fmt = "yuv420p"
            stream.codec_context.thread_count = 1  # many files at once are the parallelism here
            count = 0
            for count, frame in enumerate(frames, start=1):
                picture = _picture(frame, stream, first=count == 1)
                picture.pts, picture.time_base = count - 1, 1 / Fraction(rate)
                container.mux(stream.encode(picture))
            if not count:
                raise ValueError(f"{path}: a video of no frames")
            container.mux(stream.encode())
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
    return count


def _picture(frame: np.ndarray, stream: VideoStream, *, first: bool) -> av.VideoFrame:
    """The frame as PyAV's; the first one sets the video's size."""
    height, width = frame.shape[:2]
    if first:
        if width % 2 or height % 2:
            raise ValueError(f"frames of {width} x {height}: both must be even")
        stream.width, stream.height = width, height
    if (width, height) != (stream.width, stream.height):
        raise ValueError(
            f"a frame of {width} x {height} in a video of {stream.width} x {stream.height}"
        )
    return av.VideoFrame.from_ndarray(frame, format="rgb24")
