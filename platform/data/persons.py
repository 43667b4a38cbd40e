"""Where the persons of a recording are in its video: one square for all frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from skelray.platform.clips.boxes import frames_box, joints_box, square_box
from skelray.platform.data.boxes import VideoBoxes
from skelray.platform.dataset import SkeletonSample
from skelray.platform.errors import DataError
from skelray.platform.preprocessing.pose_2d import pixels
from skelray.platform.skeleton.spec import SkeletonSpec

Square = tuple[int, int, int, int]  # left, top, right, bottom in pixels of the video


@dataclass(frozen=True)
class Persons:
    """Finds the persons of recordings in their videos: by a detector's boxes, else by joints."""

    skeleton: SkeletonSpec
    boxes: Mapping[str, VideoBoxes] | None

    def square(self, sample: SkeletonSample, height: int, width: int) -> Square:
        """Around the persons of all frames; DataError where a recording's boxes are missing."""
        if self.boxes is None:
            return person_square(sample, self.skeleton, height, width)
        if sample.id not in self.boxes:
            raise DataError(f"the file of boxes has none of {sample.id}: complete it")
        return detected_square(self.boxes[sample.id], height, width)


def person_square(
    sample: SkeletonSample, skeleton: SkeletonSpec, height: int, width: int
) -> Square:
    """The square around all joints of all frames, in a video of this size.

    Joints outside the picture count as at its edge. The whole picture where there are no joints.
    """
    if not len(sample.xyz):
        return (0, 0, width, height)
    scale = np.array([width, height]) / (sample.width or width, sample.height or height)
    joints = _inside(pixels(sample, skeleton) * scale, height, width)
    return _square(joints_box(torch.from_numpy(joints)[None]), height, width)


def detected_square(found: VideoBoxes, height: int, width: int) -> Square:
    """The square around a detector's boxes of all frames, in a video of this size.

    The whole picture where the detector found nobody.
    """
    scale = np.array([width, height]) / (found.width, found.height)
    corners = _inside(found.boxes[:, :4].reshape(-1, 2, 2) * scale, height, width)
    boxes = torch.from_numpy(corners.reshape(1, -1, 4))
    return _square(frames_box(boxes), height, width)


def _inside(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """Points (…, 2) that lie outside the picture at its edge; coordinates of 0 are missing."""
    return np.where(points != 0, points.clip(1, (width - 1, height - 1)), 0)


def _square(extent: Tensor, height: int, width: int) -> Square:
    left, top, right, bottom = square_box(extent, torch.tensor([[height, width]]))[0].tolist()
    return left, top, right, bottom
