"""A data set of made-up recordings, one small file each, and a preprocessing of ragged lengths.

A module of its own, so that Ray's workers import the data set and with it the preprocessing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from skelray.platform.dataset import Dataset, Discovery, Protocol, RawItem, SkeletonSample
from skelray.platform.errors import DataError, UsageError
from skelray.platform.preprocessing import Preprocessed, register
from skelray.platform.skeleton.spec import SkeletonSpec
from skelray.platform.skeleton.specs import KINECT_V1


class Walks(Dataset):
    """Files `NUMBER.walk` that hold the number from which their recording is made."""

    name = "walks"
    skeleton = KINECT_V1
    persons = 2
    classes = ("left", "right", "round")
    header = ("confidence", "lean")
    licence = "made up"
    protocols = (Protocol("xsub", "subject", frozenset({0, 1, 2}), frozenset({2})),)

    def discover(self, raw: Path) -> Discovery:
        files = sorted(raw.glob("*.walk"))
        return Discovery(
            [RawItem(f.stem, str(f), stamp=f.read_text()) for f in files],
            {"notes.txt": "no recording"},
        )

    def read(self, item: RawItem) -> Iterator[SkeletonSample]:
        text = Path(item.path).read_text()
        if text == "crash":
            raise RuntimeError("the reader itself is wrong")
        if text == "nothing":
            return
        if not text.isdigit():
            raise DataError(f"{item.path}, line 1: expected a number, found {text!r}")
        yield walk(int(text))


def walk(number: int) -> SkeletonSample:
    """The recording of that number: 3 to 7 frames of up to three bodies, one frame empty."""
    random = np.random.default_rng(number)
    frame_bodies = random.integers(1, 4, size=3 + number % 5).astype(np.int32)
    frame_bodies[number % len(frame_bodies)] = 0
    bodies = int(frame_bodies.sum())
    return SkeletonSample(
        id=f"{number:03d}",
        frame_bodies=frame_bodies,
        xyz=random.normal(size=(bodies, 20, 3)).astype(np.float32),
        body_id=random.integers(0, 2**62, size=bodies),
        body_header=random.normal(size=(bodies, 2)).astype(np.float32),
        joint_state=random.integers(0, 3, size=(bodies, 20)).astype(np.int8),
        color_xy=random.normal(size=(bodies, 20, 2)).astype(np.float32),
        score=random.random(size=(bodies, 20)).astype(np.float32),
        label=number % 3,
        subject=number % 5,
        camera=1,
        replication=number // 5,
        fps=30.0,
        clip=f"clips/{number}.avi",
    )


def write_walks(raw: Path, count: int) -> None:
    """Writes `count` whole recordings."""
    raw.mkdir()
    for number in range(count):
        (raw / f"{number:03d}.walk").write_text(str(number))


@register("first_bodies", version=1)
def first_bodies(
    sample: SkeletonSample,
    skeleton: SkeletonSpec,
    *,
    wrong: str = "",
    refused: str = "",
    scores: str = "",
) -> Preprocessed:
    """The first body of every frame that has one, as (T_i, 1, V, 3)."""
    if sample.id == refused:
        raise UsageError(f"{sample.id} is refused")
    bodies = sample.frame_bodies
    first = (np.cumsum(bodies) - bodies)[bodies > 0]
    frames = sample.xyz[first][:, None]
    score = sample.score[first][:, None] if sample.id in scores or scores == "all" else None
    if sample.id == wrong:
        frames = frames * np.float32(np.nan)
    present = np.ones((len(frames), 1), dtype=bool)
    present[0] = False
    scalars = {"begin": float(np.argmax(bodies > 0)), "mean": float(frames.mean())}
    return Preprocessed(
        frames=frames, present=present, length=len(bodies), score=score, scalars=scalars
    )
