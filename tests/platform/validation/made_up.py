"""A data set of recordings that tests make, one fault each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skelray.platform.dataset import Dataset, Discovery, Protocol, RawItem, SkeletonSample
from skelray.platform.skeleton.specs import KINECT_V1

FRAMES = 12

# A standing adult in metres, y up: height of each joint of KINECT_V1, and the place to the side.
_HEIGHT = (0.95, 1.1, 1.4, 1.6, *(1.35, 1.1, 0.9, 0.8) * 2, *(0.9, 0.5, 0.1, 0.0) * 2)
_SIDE = (0, 0, 0, 0, *[0.2] * 4, *[-0.2] * 4, *[0.1] * 4, *[-0.1] * 4)
BODY = np.stack([_SIDE, _HEIGHT, np.full(20, 2.5)], axis=-1)


def walking(seed: int, start: float = 0.0) -> np.ndarray:
    """One person (FRAMES, 20, 3) who walks sideways and whose sensor is not quite still."""
    noise = 0.005 * np.random.default_rng(seed).normal(size=(FRAMES, 20, 3))
    way = np.array([1.0, 0, 0]) * (start + 0.05 * np.arange(FRAMES))[:, None, None]
    return np.float32(BODY + way + noise)


def recording(number: int, **changes: Any) -> SkeletonSample:
    """A good recording of one of four subjects and two classes, with some fields changed."""
    fields = {
        "id": f"r{number}",
        "frame_bodies": np.ones(FRAMES, dtype=np.int32),
        "xyz": walking(number),
        "label": number % 2,
        "subject": number // 2 % 4 + 1,
    }
    return SkeletonSample(**(fields | changes))


class MadeUp(Dataset):
    """Yields what `samples` holds; an exception in it is raised instead."""

    name = "made_up"
    skeleton = KINECT_V1
    persons = 2
    classes = ("left", "right")
    protocols = (Protocol("xsub", "subject", frozenset({1, 2, 3}), frozenset({3})),)

    samples: Sequence[SkeletonSample | Exception] = ()
    found = Discovery([])

    def discover(self, raw: Path) -> Discovery:
        items = [
            RawItem(f"r{number}", str(raw), entry=number) for number in range(len(self.samples))
        ]
        return Discovery(items, self.found.skipped, self.found.splits)

    def read(self, item: RawItem) -> Iterator[SkeletonSample]:
        sample = self.samples[item.entry]
        if isinstance(sample, Exception):
            raise sample
        yield sample


def dataset(*samples: SkeletonSample | Exception, **changes: Any) -> type[MadeUp]:
    """The data set of eight good recordings, of which the first are replaced by `samples`."""
    good = [recording(number) for number in range(len(samples), 8)]
    return type("Changed", (MadeUp,), {"samples": [*samples, *good], **changes})
