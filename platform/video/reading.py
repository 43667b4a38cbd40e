"""Reads video files: all frames in order through PyAV, a few of them through decord."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import decord
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from skelray.platform.errors import DataError

decord.logging.set_level(decord.logging.QUIET)
av.logging.set_level(av.logging.PANIC)  # what is wrong with a file is said by the error


class UnreadableVideo(DataError):
    """A video that is damaged, empty or none."""


@dataclass(frozen=True)
class VideoInfo:
    """What a file says of its video."""

    frames: int  # counted in the file, not decoded
    height: int  # pixels
    width: int
    rate: Fraction  # frames per second
    comment: str  # what its writer has noted in it


def probe(path: Path) -> VideoInfo:
    """Reads the file's structure without decoding; UnreadableVideo where it is no whole video."""
    with _opened(path) as (container, stream):
        return VideoInfo(
            frames=sum(
                packet.size > 0 and not packet.is_discard for packet in container.demux(stream)
            ),
            height=stream.height,
            width=stream.width,
            rate=stream.average_rate or Fraction(0),
            comment=container.metadata.get("comment", ""),
        )


def frames_in_order(path: Path) -> Iterator[av.VideoFrame]:
    """Every frame; UnreadableVideo where the file is damaged or ends before it says it does."""
    with _opened(path) as (container, stream):
        count, cut_away, last = 0, 0, -1
        size = (stream.width, stream.height)
        for packet in container.demux(stream):
            cut_away += packet.is_discard  # the file's own list leaves these out
            for frame in packet.decode():
                if (frame.width, frame.height) != size:
                    raise UnreadableVideo(
                        f"{path}: frame {count} is {frame.width} x {frame.height}, not "
                        f"{size[0]} x {size[1]}"
                    )
                count, last = count + 1, _number(frame, stream)
                yield frame
        # a camera may leave out frames, so that there are fewer than its times say
        if max(count, last + 1) + cut_away < stream.frames or not count:
            raise UnreadableVideo(
                f"{path} ends after {count} of {stream.frames} frames: get the file again"
            )


def pictures_in_order(path: Path) -> Iterator[np.ndarray]:
    """The same as (H, W, 3) uint8 RGB."""
    return (rgb(frame) for frame in frames_in_order(path))


def rgb(frame: av.VideoFrame) -> np.ndarray:
    """(H, W, 3) uint8."""
    # several threads, PyAV's default, are started for every frame: ten times slower on small ones
    return frame.to_ndarray(format="rgb24", threads=1)


def read_frames(
    path: Path, indices: np.ndarray, library: Literal["decord", "pyav"] = "decord"
) -> tuple[np.ndarray, int]:
    """Frames by number, in any order and repeated: (L, H, W, 3) uint8 RGB.

    Also returns how many of the L could not be decoded and were replaced by the nearest that could;
    UnreadableVideo where none can. Decodes in the calling thread: many files at once are the
    parallelism. Both libraries give the same pictures; decord seeks the key frames before those
    that are wanted, PyAV decodes from the start to the last of them.
    """
    wanted, places = np.unique(indices, return_inverse=True)
    if library == "decord":
        # it has no class for what a file may do to it; a damaged one is for PyAV
        with suppress(Exception):
            reader = decord.VideoReader(os.fspath(path), num_threads=1)
            return reader.get_batch(wanted).asnumpy()[places], 0
    found = _decodable(path, set(wanted.tolist()))
    known = np.array(sorted(found))
    nearest = known[np.abs(wanted[:, None] - known).argmin(axis=1)]
    chosen = nearest[places]
    return np.stack([found[number] for number in chosen]), int((chosen != indices).sum())


def _decodable(path: Path, wanted: set[int]) -> dict[int, np.ndarray]:
    """The wanted frames that can be decoded, else another; UnreadableVideo where none can."""
    found: dict[int, np.ndarray] = {}
    other: tuple[int, av.VideoFrame] | None = None
    for number, frame in _readable(path):
        if number in wanted:
            found[number] = rgb(frame)
        elif not found:
            other = number, frame
        if number >= max(wanted):
            break
    if found:
        return found
    if other is None:
        raise UnreadableVideo(f"{path}: no frame can be decoded: get the file again")
    return {other[0]: rgb(other[1])}


def _readable(path: Path) -> Iterator[tuple[int, av.VideoFrame]]:
    """The frames that can be decoded, with their numbers."""
    with _opened(path) as (container, stream):
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.FFmpegError:
                continue  # this part of the file is damaged
            for frame in frames:
                yield _number(frame, stream), frame


def _number(frame: av.VideoFrame, stream: VideoStream) -> int:
    """The frame's place in the video, of its time."""
    start = stream.start_time or 0
    seconds = ((frame.pts or 0) - start) * (stream.time_base or Fraction(1))
    return round(seconds * (stream.average_rate or Fraction(1)))


@contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    try:
        with av.open(os.fspath(path)) as container:
            if not container.streams.video:
                raise UnreadableVideo(f"{path} holds no video")
            stream = container.streams.video[0]
            stream.thread_type = "NONE"
            yield container, stream
    except av.FFmpegError as error:
        raise UnreadableVideo(f"{path} cannot be read ({error.strerror or error})") from None
