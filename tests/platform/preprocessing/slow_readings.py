"""The published recipes read word by word: joint by joint, frame by frame."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from scipy.spatial.transform import Rotation

from skelray.platform.dataset import SkeletonSample

HELD = 300  # frames of the originals' arrays; the zeros after the recording's n frames are left out


def empty(numbers: np.ndarray) -> bool:
    return bool(numbers.sum() == 0)


# Skeleton-Contrast, UmURL and LSTCL: arrays x[person, frame, joint, coordinate]


def two_most_energetic(sample: SkeletonSample) -> np.ndarray:
    """(2, n, 25, 3) float32."""
    count = len(sample.frame_bodies)
    tracks = np.zeros((4, count, 25, 3), dtype=np.float32)
    body = 0
    for t in range(count):
        for position in range(sample.frame_bodies[t]):
            if position < 4:
                tracks[position, t] = sample.xyz[body]
            body += 1
    ranked = sorted(range(4), key=lambda k: (energy(tracks[k]), k), reverse=True)
    return np.array([tracks[ranked[person], :HELD] for person in range(2)])


def energy(track: np.ndarray) -> float:
    points = [[float(n) for n in joint] for frame in track if not empty(frame) for joint in frame]
    total = 0.0
    for c in range(3):
        values = [point[c] for point in points]
        if values:
            mean = math.fsum(values) / len(values)
            total += math.sqrt(math.fsum((v - mean) ** 2 for v in values) / len(values))
    return total


def repeat_to_the_end(x: np.ndarray) -> None:
    for person in x:
        if empty(person):
            continue
        if empty(person[0]):
            frames = [frame.copy() for frame in person if not empty(frame)]
            person[:] = 0
            for t, frame in enumerate(frames):
                person[t] = frame
        last = max(t for t in range(len(person)) if not empty(person[t]))
        for t in range(last + 1, len(person)):
            person[t] = person[t - (last + 1)]


def centre_on_first_person(x: np.ndarray) -> None:
    for t in range(x.shape[1]):
        centre = x[0, t, 1].copy()
        for person in x:
            for joint in person[t]:
                joint[:] = 0 if empty(joint) else joint - centre


def turn(x: np.ndarray, start: int, end: int, axis: list[int]) -> None:
    """Brings the vector from joint `start` to `end` of the first person's frame 0 onto `axis`."""
    vector = x[0, 0, end] - x[0, 0, start]
    normal = np.cross(vector.astype(np.float64), axis)
    angle = 0.0
    if np.abs(vector).sum() >= 1e-6:
        unit = vector / np.linalg.norm(vector)  # float32, as in the original
        angle = math.acos(max(-1.0, min(1.0, float(unit[axis.index(1)]))))
    if np.abs(normal).sum() < 1e-6 or angle < 1e-6:
        return
    rotation = Rotation.from_rotvec(angle * normal / np.linalg.norm(normal))
    for person in x:
        for frame in person:
            if not empty(frame):
                frame[:] = rotation.apply(frame.astype(np.float64))


def energy_ranked(
    bodies: np.ndarray, *, repeat: str, spine: bool = True, shoulders: bool = True
) -> np.ndarray:
    """(T, 2, 25, 3) from the two most energetic. They are repeated "before" the normalisation, here
    to n frames (Skeleton-Contrast, UmURL), or "after" it, to 300 (LSTCL's feeder)."""
    x = bodies.copy()
    if repeat == "before":
        repeat_to_the_end(x)
    centre_on_first_person(x)
    if spine:
        turn(x, 0, 1, [0, 0, 1])
    if shoulders:
        turn(x, 4, 8, [1, 0, 0])
    if repeat == "after":
        x = np.concatenate([x, np.zeros_like(x, shape=(2, HELD - x.shape[1], 25, 3))], axis=1)
        repeat_to_the_end(x)
    return x.transpose(1, 0, 2, 3)


# SGN, MAMP


@dataclass
class Body:
    frames: list[np.ndarray] = field(default_factory=list)
    interval: list[int] = field(default_factory=list)
    motion: float = 0.0


def bodies_by_id(sample: SkeletonSample) -> tuple[dict[int, Body], int]:
    assert sample.body_id is not None
    bodies: dict[int, Body] = {}
    valid = body = 0
    for count in sample.frame_bodies:
        for _ in range(count):
            known = bodies.setdefault(int(sample.body_id[body]), Body())
            known.frames.append(sample.xyz[body])
            known.interval.append(known.interval[-1] + 1 if known.interval else valid)
            body += 1
        valid += count > 0
    for known in bodies.values():
        known.motion = variance(known.frames)
    return bodies, valid


def variance(frames: list[np.ndarray]) -> float:
    points = np.concatenate(frames).astype(np.float64)
    return sum(float(((points[:, c] - points[:, c].mean()) ** 2).mean()) for c in range(3))


def reasonable(frame: np.ndarray) -> bool:
    x, y = frame[:, 0], frame[:, 1]
    return float(x.max() - x.min()) <= 0.8 * float(y.max() - y.min())


def without_ghosts(bodies: dict[int, Body]) -> list[Body]:
    lasting = {name: body for name, body in bodies.items() if len(body.frames) > 11}
    if not lasting:  # the original fails here
        return [max(bodies.values(), key=lambda body: len(body.frames))]
    for name, body in list(lasting.items()):
        if len(lasting) == 1:
            break
        good = [frame for frame in body.frames if reasonable(frame)]
        unreasonable = len(body.frames) - len(good)
        if unreasonable == 0:
            continue
        if unreasonable / len(body.frames) >= 0.69754:
            del lasting[name]
        else:
            body.motion = min(body.motion, variance(good))
    return sorted(lasting.values(), key=lambda body: body.motion, reverse=True)


def denoised(sample: SkeletonSample, *, copy: bool = False) -> np.ndarray:
    """(T, 2, 25, 3) float32."""
    bodies, count = bodies_by_id(sample)
    actors = without_ghosts(bodies) if len(bodies) > 1 else list(bodies.values())
    x = np.zeros((count, 2, 25, 3), dtype=np.float32)
    write(x, 0, actors[0])
    first = [actors[0].interval[0], actors[0].interval[-1]]
    second = [0, 0]
    for body in actors[1:]:
        start, end = body.interval[0], body.interval[-1]
        for actor, span in enumerate((first, second)):
            if min(span[1], end) - max(span[0], start) <= 0:
                write(x, actor, body)
                span[:] = [min(span[0], start), max(span[1], end)]
                break
    if len(bodies) > 1:
        x = np.array([frame for frame in x if not empty(frame)])
    missing = [[empty(person) for person in frame] for frame in x]
    origin = next(frame[0, 1] for frame in x if np.any(frame[0] != 0)).copy()
    for t, frame in enumerate(x):
        for person in range(2):
            frame[person] -= origin
            if len(actors) > 1 and missing[t][person]:
                frame[person] = 0
        if len(actors) == 1:
            frame[1] = frame[0] if copy else 0
    return x


def write(x: np.ndarray, actor: int, body: Body) -> None:
    for frame, t in zip(body.frames, range(body.interval[0], body.interval[-1] + 1), strict=True):
        x[t, actor] = frame
