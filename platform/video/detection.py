"""Persons in a video, by a user's detector: read in order, a few frames in memory at once."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np

from skelray.platform.clips.tracklets import SOUND, BoxRules, person_boxes
from skelray.platform.errors import DataError, SkelrayError, UsageError, in_one_line
from skelray.platform.video.reading import pictures_in_order


class PersonDetector(Protocol):
    """Finds persons in pictures; whoever makes it loads its weights once, for all videos."""

    def __call__(self, frames: np.ndarray, /) -> Sequence[np.ndarray]:
        """Boxes of the persons, and of nothing else, in each of n frames.

        Args:
            frames: (n, H, W, 3) uint8 RGB.

        Returns:
            n arrays (k, 5), k of each frame's own: x1, y1, x2, y2 in pixels and the score from 0
            to 1, after non-maximum suppression.
        """
        ...


@dataclass(frozen=True)
class Detections:
    """What a detector finds in a video of F frames."""

    frames: list[np.ndarray]  # F arrays (k, 5) float32
    picture: tuple[int, int]  # (height, width) in pixels


def detect(
    path: Path, detector: PersonDetector, *, chunk: int = 16, rules: BoxRules = SOUND
) -> np.ndarray:
    """The box of one person in each of the F frames of a video.

    Args:
        path: the video.
        detector: loaded by the caller.
        chunk: frames that the detector sees at once.
        rules: see `person_boxes`.

    Returns:
        (F, 5) float32: x1, y1, x2, y2 in pixels and the score; zeros where nobody is found.

    Raises:
        UnreadableVideo: the video cannot be read to its end.
        DataError: the detector returns something else than `PersonDetector` says.
    """
    found = detections(path, detector, chunk=chunk)
    return person_boxes(found.frames, picture=found.picture, rules=rules)


def detections(path: Path, detector: PersonDetector, *, chunk: int = 16) -> Detections:
    """All boxes in all frames of a video; arguments and errors are those of `detect`."""
    if chunk < 1:
        raise ValueError(f"chunk is {chunk}: the detector needs a frame at least")
    pictures = pictures_in_order(path)
    found: list[np.ndarray] = []
    height = width = 0
    while some := list(islice(pictures, chunk)):
        frames = np.stack(some)
        height, width = frames.shape[1:3]
        where = f"{path}, frames {len(found)} to {len(found) + len(frames) - 1}"
        found += _checked(detector(frames), len(frames), where)
    return Detections(found, (height, width))


def load_detector(name: str) -> PersonDetector:
    """What the factory `package.module:factory` makes; UsageError says what keeps it from that."""
    module, _, attribute = name.partition(":")
    if not module or not attribute.isidentifier():
        raise UsageError(f"detector {name!r}: give package.module:factory")
    try:
        factory = getattr(importlib.import_module(module), attribute, None)
    except Exception as error:  # any fault of the module itself
        raise UsageError(
            f"detector {name}: {module} cannot be imported ({in_one_line(error)}): install it and "
            "what it imports, or name its folder in PYTHONPATH"
        ) from error
    if not callable(factory):
        raise UsageError(f"detector {name}: {module} has no function {attribute!r}")
    try:
        detector = factory()
    except SkelrayError:
        raise
    except Exception as error:  # of its weights, its device, its arguments
        raise UsageError(
            f"detector {name}: {attribute}() failed ({in_one_line(error)}): it has to make a "
            "detector without arguments"
        ) from error
    if not callable(detector):
        kind = type(detector).__name__
        raise UsageError(f"detector {name}: {attribute}() made a {kind}, which cannot be called")
    return detector


def _checked(found: Sequence[np.ndarray], count: int, where: str) -> list[np.ndarray]:
    """The boxes of `count` frames as float32; DataError where they are not what they should be."""
    if not isinstance(found, list | tuple) or len(found) != count:
        listed = isinstance(found, list | tuple)
        what = f"{len(found)} results" if listed else type(found).__name__
        raise DataError(f"{where}: the detector returned {what}, expected a list of {count}")
    checked = []
    for boxes in found:
        try:
            boxes = np.asarray(boxes, np.float32)
        except (TypeError, ValueError) as error:  # ragged lists, tensors on a GPU
            said = " ".join(str(error).split())
            raise DataError(f"{where}: the detector's boxes are no array: {said}") from None
        if boxes.ndim != 2 or boxes.shape[1] != 5:
            raise DataError(
                f"{where}: the detector's boxes have shape {boxes.shape}, expected (k, 5): x1, y1, "
                "x2, y2, score"
            )
        if not np.isfinite(boxes).all():
            raise DataError(f"{where}: the detector returned a number that is not finite")
        checked.append(boxes)
    return checked
