"""Makes small videos of large ones: the whole picture, or the square around the persons.

A new file appears only when it is whole, and its comment names what it was made of, so that a later
call keeps it where it is the one asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skelray.platform.data.clips import RECIPE
from skelray.platform.paths import file_hash
from skelray.platform.video.cropping import Box, cut, resized
from skelray.platform.video.reading import (
    UnreadableVideo,
    VideoInfo,
    frames_in_order,
    pictures_in_order,
    probe,
    rgb,
)
from skelray.platform.video.writing import SEEKABLE, write_video


@dataclass(frozen=True, kw_only=True)
class Compressed:
    """A small video and where it comes from; sizes in pixels."""

    frames: int
    rate: float  # frames per second
    height: int
    width: int
    source_height: int
    source_width: int
    source: str  # SHA-256 of its file
    box: Box  # of the source's pictures that it shows
    nbytes: int


def compress(source: Path, target: Path, *, short_side: int) -> Compressed:
    """The whole picture as H.264, its shorter side `short_side` pixels, never enlarged.

    Frame count and rate stay. UnreadableVideo where the source is damaged. The recipe of
    open-mmlab/mmaction2, tools/data/skeleton/compress_nturgbd.py: x264 at its default quality.
    """
    seen = probe(source)
    scale = min(1.0, short_side / min(seen.height, seen.width))
    height, width = (2 * round(side * scale / 2) for side in (seen.height, seen.width))
    frames = (
        # by way of RGB: the source may have another range or matrix of colours
        rgb(frame.reformat(width, height, format="rgb24", interpolation="BICUBIC", threads=1))
        for frame in frames_in_order(source)
    )
    return _write(source, seen, target, frames, (0, 0, seen.width, seen.height), (height, width))


def crop(source: Path, target: Path, *, box: Box, size: int) -> Compressed:
    """`box` of every picture as H.264 of `size` x `size` pixels, black outside the picture.

    Frame count and rate stay; a key frame in twelve, as training reads frames here and there.
    UnreadableVideo where the source is damaged.
    """
    pictures = (picture[None] for picture in pictures_in_order(source))
    frames = (resized(cut(one, box), size, shrink_by_area=True)[0] for one in pictures)
    return _write(source, probe(source), target, frames, box, (size, size), SEEKABLE)


def _write(
    source: Path,
    seen: VideoInfo,
    target: Path,
    frames: Iterable[np.ndarray],
    box: Box,
    size: tuple[int, int],
    options: dict[str, str] | None = None,
) -> Compressed:
    """Writes the video, unless the one asked for is there, and whole."""
    digest = file_hash(source)
    comment = json.dumps({"source": digest, "box": box, "size": size, "recipe": RECIPE})
    there = _whole(target)
    if there is None or (there.comment, there.frames) != (comment, seen.frames):
        write_video(target, frames, rate=seen.rate, options=options, comment=comment)
        there = probe(target)
    if there.frames != seen.frames:
        target.unlink()
        raise UnreadableVideo(f"{source}: {there.frames} of {seen.frames} frames can be decoded")
    return Compressed(
        frames=there.frames,
        rate=float(there.rate),
        height=there.height,
        width=there.width,
        source_height=seen.height,
        source_width=seen.width,
        source=digest,
        box=box,
        nbytes=target.stat().st_size,
    )


def _whole(target: Path) -> VideoInfo | None:
    """What is there already; None where nothing is, or something damaged."""
    try:
        return probe(target) if target.exists() else None
    except UnreadableVideo:
        return None
