"""One person box per frame, from what a detector finds in a video: the person it is about.

The rules are those of zoranadozdor/SVdata2vec, `process_data` (from pyskl's preparation of NTU).
AS_PUBLISHED follows them to the letter; SOUND, the default, differs where they go wrong.
Boxes are x1, y1, x2, y2 in pixels and a score from 0 to 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

KEPT_SCORE = 0.5  # a detection scores more, or is none
DUPLICATE_SHARE = 0.8  # of a box's area in a better one: with more it is a duplicate
CERTAIN_SCORE = 0.95  # where each frame has one box above it, these are the person
LINK_IOU = 0.6  # of a box with the last one of its tracklet, at least
LINK_MISSES = 10  # so many frames without a box, since it began, end a tracklet
SHORT = 5  # boxes: a tracklet has more
SMALL_AREA = 5000.0  # square pixels: a tracklet's boxes have more on average
NEAR = 50.0  # pixels from the centre: nearer is near enough
NEAR_FACTOR = 2.0  # of the distance of the innermost long tracklet: nearer is near enough too
LONG_SHARE = 0.5  # of the frames: a long tracklet has a box in so many, at least


@dataclass(frozen=True)
class BoxRules:
    """Where the published rules and sound ones differ."""

    gaps: Literal["nearest", "last"] = "nearest"  # whose box a lone tracklet's gaps receive
    centre: tuple[float, float] | None = None  # (x, y) of distances; None: the picture's own


SOUND = BoxRules()
AS_PUBLISHED = BoxRules(gaps="last", centre=(480.0, 270.0))  # of pictures of 960 x 540


@dataclass
class _Tracklet:
    """Boxes of one person in some frames, in time's order."""

    frames: list[int]
    boxes: list[np.ndarray]  # (5,) each

    def misses(self, frame: int) -> int:
        """Frames before `frame` without a box, since the first with one."""
        return frame - self.frames[0] - len(self.frames)

    def mean_distance(self, centre: tuple[float, float]) -> float:
        """Of the boxes' centres from a point (x, y), in pixels."""
        boxes = np.stack(self.boxes)
        offsets = (boxes[:, :2] + boxes[:, 2:4]) / 2 - centre
        return float(np.linalg.norm(offsets, axis=1).mean())


def person_boxes(
    detections: Sequence[np.ndarray], *, picture: tuple[int, int], rules: BoxRules = SOUND
) -> np.ndarray:
    """The box of one person in each of F frames; zeros in all where nobody is found.

    Args:
        detections: for each of the F frames (k, 5): x1, y1, x2, y2 in pixels and the score of k
            persons, after non-maximum suppression. Scores up to 0.5 are ignored.
        picture: (height, width) in pixels.
        rules: SOUND, or AS_PUBLISHED to repeat what the original computes.

    Returns:
        (F, 5) float32: x1, y1, x2, y2 in pixels and the score. A frame in which the person is not
        found has the box, and score, of another frame.

    Raises:
        ValueError: boxes that are not (k, 5).
    """
    frames = [_distinct(_kept(boxes)) for boxes in detections]
    certain = [boxes[boxes[:, 4] > CERTAIN_SCORE] for boxes in frames]
    if all(len(boxes) == 1 for boxes in certain):
        return np.array(certain, np.float32).reshape(-1, 5)
    tracklets = [tracklet for tracklet in _link(frames) if _is_person(tracklet)]
    height, width = picture
    centre = rules.centre or (width / 2, height / 2)
    found: dict[int, np.ndarray] = {}  # the box by frame, in the order in which frames are filled
    for tracklet in _near(tracklets, centre, long=LONG_SHARE * len(frames)):
        for frame, box in zip(tracklet.frames, tracklet.boxes, strict=True):
            found.setdefault(frame, box)
    return _without_gaps(found, len(frames), last=rules.gaps == "last" and len(tracklets) == 1)


def _kept(boxes: np.ndarray) -> np.ndarray:
    """The boxes (k, 5) that score enough, in double precision."""
    boxes = np.asarray(boxes, np.float64).reshape(len(boxes), 5)
    return boxes[boxes[:, 4] > KEPT_SCORE]


def _distinct(boxes: np.ndarray) -> np.ndarray:
    """Leaves out what lies inside a box that scores as much or more."""
    inside = _share(_intersection(boxes, boxes), _area(boxes)[:, None]) > DUPLICATE_SHARE
    np.fill_diagonal(inside, False)
    better = boxes[:, None, 4] <= boxes[None, :, 4]
    return boxes[~(inside & better).any(axis=1)]


def _link(frames: Sequence[np.ndarray]) -> list[_Tracklet]:
    """Every box of every frame in a tracklet; tracklets in the order in which they begin."""
    tracklets: list[_Tracklet] = []
    open_: list[_Tracklet] = []
    for frame, boxes in enumerate(frames):
        # misses never become fewer: a tracklet that is over stays over
        open_ = [tracklet for tracklet in open_ if tracklet.misses(frame) < LINK_MISSES]
        lasts = np.array([tracklet.boxes[-1] for tracklet in open_]).reshape(-1, 5)
        begun = []
        for box, overlaps in zip(boxes, _iou(boxes, lasts) >= LINK_IOU, strict=True):
            fitting = [open_[n] for n in np.flatnonzero(overlaps) if open_[n].frames[-1] != frame]
            if fitting:  # the newest of them
                fitting[-1].frames.append(frame)
                fitting[-1].boxes.append(box)
            else:
                begun.append(_Tracklet([frame], [box]))
        open_ += begun
        tracklets += begun
    return tracklets


def _is_person(tracklet: _Tracklet) -> bool:
    """Neither short nor small."""
    long_enough = len(tracklet.frames) > SHORT
    return long_enough and bool(_area(np.stack(tracklet.boxes)).mean() > SMALL_AREA)


def _near(
    tracklets: Sequence[_Tracklet], centre: tuple[float, float], *, long: float
) -> list[_Tracklet]:
    """The tracklets near the centre, the nearest first; `long` ones have so many boxes."""
    distances = [tracklet.mean_distance(centre) for tracklet in tracklets]
    ranking = sorted(range(len(tracklets)), key=lambda n: distances[n])
    limits = (distances[n] for n in ranking if len(tracklets[n].frames) >= long)
    limit = max(NEAR, NEAR_FACTOR * next(limits, np.inf))
    return [tracklets[n] for n in ranking if distances[n] < limit]


def _without_gaps(found: dict[int, np.ndarray], frames: int, *, last: bool) -> np.ndarray:
    """(F, 5): a frame without a box has that of the nearest frame, or of the `last` one.

    Of two frames that are equally near it is the one that was filled first.
    """
    boxes = np.zeros((frames, 5), np.float32)
    filled = np.array([*found], int)
    for frame in range(frames if found else 0):
        near = filled[-1] if last else filled[np.abs(filled - frame).argmin()]
        boxes[frame] = found[frame if frame in found else int(near)]
    return boxes


def _area(boxes: np.ndarray) -> np.ndarray:
    """(k,) square pixels."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _intersection(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(k, n) square pixels that each of k boxes shares with each of n."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:4], second[None, :, 2:4])
    return np.maximum(high - low, 0).prod(axis=-1)


def _iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(k, n) intersection over union of each of k boxes with each of n."""
    shared = _intersection(first, second)
    return _share(shared, _area(first)[:, None] + _area(second)[None] - shared)


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """The quotient, 0 where the whole is nothing: the original's NaN passes no threshold either."""
    whole = np.broadcast_to(whole, part.shape)
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
