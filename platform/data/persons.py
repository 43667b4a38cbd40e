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

MARGIN = 0.25  # heads and hands reach beyond their joints: a tenth, as published, cuts them

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

    def square_or_picture(self, sample: SkeletonSample, height: int, width: int) -> Square:
        """The whole picture where nothing says where the persons are."""
        try:
            return self.square(sample, height, width)
        except DataError:
            return (0, 0, width, height)


def person_square(
    sample: SkeletonSample, skeleton: SkeletonSpec, height: int, width: int
) -> Square:
    """The square around all joints of all frames, in a video of this size.

    Joints outside the picture count as at its edge. The whole picture where there are no joints.
    """
    if not len(sample.xyz):
        return (0, 0, width, height)
    scale = np.array([width, height]) / (sample.width or width, sample.height or height)
    joints = pixels(sample, skeleton) * scale
    joints = np.where(joints != 0, joints.clip(1, (width - 1, height - 1)), 0)
    return _square(joints_box(torch.from_numpy(joints)[None]), height, width)


def detected_square(found: VideoBoxes, height: int, width: int) -> Square:
    """The square around a detector's boxes of all frames, in a video of this size.

    The whole picture where the detector found nobody.
    """
    scale = np.array([width, height]) / (found.width, found.height)
    boxes = found.boxes[found.boxes[:, :4].any(axis=1), :4]
    # a box may begin at the picture's edge: its 0 is not a missing coordinate
    corners = (boxes.reshape(-1, 2, 2) * scale).clip(1, (width - 1, height - 1))
    if not len(corners):
        return (0, 0, width, height)
    return _square(frames_box(torch.from_numpy(corners.reshape(1, -1, 4))), height, width)


def _square(extent: Tensor, height: int, width: int) -> Square:
    picture = torch.tensor([[height, width]])
    left, top, right, bottom = square_box(extent, picture, MARGIN)[0].tolist()
    return left, top, right, bottom
