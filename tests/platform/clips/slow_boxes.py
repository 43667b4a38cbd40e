"""The published rules for person boxes, one after another, as a text would say them."""

from __future__ import annotations

import math
from typing import NamedTuple


class Box(NamedTuple):
    x1: float
    y1: float
    x2: float
    y2: float
    score: float


def area(a: Box) -> float:
    return (a.x2 - a.x1) * (a.y2 - a.y1)


def common(a: Box, b: Box) -> float:
    wide = min(a.x2, b.x2) - max(a.x1, b.x1)
    high = min(a.y2, b.y2) - max(a.y1, b.y1)
    return wide * high if wide > 0 and high > 0 else 0.0


def inside(a: Box, b: Box) -> bool:
    return area(a) != 0 and common(a, b) / area(a) > 0.8


def iou(a: Box, b: Box) -> float:
    union = area(a) + area(b) - common(a, b)
    return common(a, b) / union if union != 0 else 0.0


def no_duplicates(boxes: list[Box]) -> list[Box]:
    """Step 1."""
    if len(boxes) <= 1:
        return boxes
    kept = []
    for i, a in enumerate(boxes):
        others = boxes[:i] + boxes[i + 1 :]
        if not [b for b in others if inside(a, b) and a.score <= b.score]:
            kept.append(a)
    return kept


def linked(video: list[list[Box]]) -> list[list[tuple[int, Box]]]:
    """Step 3."""
    tracklets: list[list[tuple[int, Box]]] = []
    for t, boxes in enumerate(video):
        for box in boxes:
            for tracklet in reversed(tracklets):
                (first, _), (last, last_box) = tracklet[0], tracklet[-1]
                if iou(last_box, box) >= 0.6 and t - first - len(tracklet) < 10 and last != t:
                    tracklet.append((t, box))
                    break
            else:
                tracklets.append([(t, box)])
    return tracklets


def distance(tracklet: list[tuple[int, Box]], x: float, y: float) -> float:
    return math.fsum(
        math.hypot((b.x1 + b.x2) / 2 - x, (b.y1 + b.y2) / 2 - y) for _, b in tracklet
    ) / len(tracklet)


def slow_person_boxes(
    detections: list[list[Box]], height: int, width: int, *, published: bool
) -> tuple[str, list[Box]]:
    """The case that applied and one box per frame."""
    count = len(detections)
    video = [no_duplicates([box for box in boxes if box.score > 0.5]) for boxes in detections]
    certain = [[box for box in boxes if box.score > 0.95] for boxes in video]
    if all(len(boxes) == 1 for boxes in certain):  # step 2
        return "easy", [box for (box,) in certain]
    tracklets = [x for x in linked(video) if len(x) > 5]  # step 4
    tracklets = [x for x in tracklets if sum(area(b) for _, b in x) / len(x) > 5000]
    if not tracklets:
        return "nobody", [Box(0, 0, 0, 0, 0)] * count
    if len(tracklets) == 1:  # step 5
        there = dict(tracklets[0])
        if published:
            last = tracklets[0][-1][1]
            return "one", [there.get(t, last) for t in range(count)]
        return "one", [there[min(there, key=lambda u: (abs(u - t), u))] for t in range(count)]
    x, y = (480, 270) if published else (width / 2, height / 2)  # step 6
    ranked = sorted(tracklets, key=lambda tracklet: distance(tracklet, x, y))
    limit = math.inf
    for tracklet in ranked:
        if len(tracklet) >= count / 2:
            limit = 2 * distance(tracklet, x, y)
            break
    limit = max(50, limit)
    filled: list[tuple[int, Box]] = []
    for tracklet in ranked:
        if distance(tracklet, x, y) < limit:
            filled += [(t, box) for t, box in tracklet if t not in dict(filled)]
    chosen = []
    for t in range(count):
        nearest = min(abs(u - t) for u, _ in filled)
        chosen.append(next(box for u, box in filled if abs(u - t) == nearest))
    return "many", chosen
