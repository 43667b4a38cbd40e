"""A made-up data set with video: a bright square walks through the picture, joints on its corners.

A module of its own, so that Ray's workers import the data set.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from skelray.platform.dataset import Dataset, Discovery, Protocol, RawItem, SkeletonSample
from skelray.platform.importing import VideoFolder
from skelray.platform.skeleton.specs import KINECT_V1

HEIGHT, WIDTH, SIDE = 120, 200, 40
CORNERS = np.array([[0, 0], [SIDE, 0], [SIDE, SIDE], [0, SIDE]])


class Films(Dataset):
    """Files `NUMBER.film` that hold their number of frames; their videos are `NUMBER_rgb.avi`."""

    name = "films"
    skeleton = KINECT_V1
    persons = 1
    classes = ("even", "odd")
    picture = (2 * HEIGHT, 2 * WIDTH)  # joints were found in larger pictures
    protocols = (Protocol("xsub", "subject", frozenset({0, 1}), frozenset({1})),)

    def discover(self, raw: Path) -> Discovery:
        return Discovery([RawItem(f.stem, str(f)) for f in sorted(raw.glob("*.film"))], {})

    def read(self, item: RawItem) -> Iterator[SkeletonSample]:
        path = Path(item.path)
        yield film(int(item.id), int(path.read_text()), path.with_name(f"{item.id}_rgb.avi"))


class Videos(VideoFolder):
    """The videos of `Films` alone."""

    name = "videos"
    classes = ("even", "odd")


def corner(number: int, frames: int) -> np.ndarray:
    """(T, 2): left and top of the square in pixels of the video."""
    return np.stack([4 * (number % 3) + 3 * np.arange(frames), np.full(frames, 30)], axis=-1)


def film(number: int, frames: int, video: Path) -> SkeletonSample:
    """The recording of that number; its 20 joints lie on the square's corners."""
    corners = corner(number, frames)[:, None] + CORNERS
    joints = 2 * np.tile(corners, (1, 5, 1)).astype(np.float32)
    return SkeletonSample(
        id=f"{number:03d}",
        frame_bodies=np.ones(frames, dtype=np.int32),
        xyz=np.concatenate([joints / 100, np.ones((frames, 20, 1), np.float32)], axis=-1),
        color_xy=np.maximum(joints, 1),
        label=number % 2,
        subject=number % 4,
        camera=1,
        fps=30.0,
        clip=str(video),
    )


def pictures(number: int, frames: int) -> np.ndarray:
    """(T, H, W, 3) uint8: the square is brighter from frame to frame."""
    made = np.full((frames, HEIGHT, WIDTH, 3), 16, np.uint8)
    for t, (x, y) in enumerate(corner(number, frames)):
        made[t, y : y + SIDE, x : x + SIDE] = 100 + 5 * t
    return made


def damage(video: Path) -> None:
    """Destroys an eighth of a video's bytes, in its middle."""
    content = bytearray(video.read_bytes())
    middle = len(content) // 2
    for place in range(middle, middle + len(content) // 8):
        content[place] ^= 0x5A
    video.write_bytes(content)


def write_films(raw: Path, lengths: list[int]) -> None:
    """Writes recordings of so many frames with their videos."""
    from skelray.platform.video.writing import write_video

    raw.mkdir()
    for number, frames in enumerate(lengths):
        (raw / f"{number:03d}.film").write_text(str(frames))
        video = raw / f"{number:03d}_rgb.avi"
        write_video(video, pictures(number, frames), rate=30, codec="mpeg4")
