"""Recordings written as strings: each frame lists its people, "ab" is a and then b, "" nobody.

A capital letter is the same person lying down. "x" is a body whose joints are all zero, "o" is a
with all joints zero. In the order of their energy, and of their motion, they are d, b, a, c, e.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from skelray.platform.dataset import SkeletonSample

LIVELY = {"a": 0.1, "b": 0.2, "c": 0.05, "d": 0.3, "e": 0.02}  # how much each moves

EDGE_CASES = {
    "one person": ["a"] * 40,
    "two people": ["ab"] * 35,
    "empty first frames": [""] * 3 + ["a"] * 30,
    "empty first frames, two people": [""] * 3 + ["ab"] * 30,
    "gaps inside": ["ab"] * 13 + [""] * 4 + ["ab"] * 15 + ["a"] * 2 + [""] * 2,
    "gaps inside after an empty start": [""] + ["ab"] * 14 + [""] * 3 + ["b"] * 5 + ["ab"] * 15,
    "enters late": ["a"] * 20 + ["ab"] * 20,
    "leaves and another comes": ["ab"] * 15 + ["b"] * 3 + ["bc"] * 20,
    "swapped list positions": ["ab"] * 15 + ["ba"] * 15,
    "first one leaves, the second moves up": ["ab"] * 20 + ["b"] * 20,
    "three bodies": ["abc"] * 20 + ["cab"] * 5,
    "five bodies": ["abcde"] * 15,
    "one frame": ["a"],
    "one frame, two people": ["ab"],
    "more than 300 frames": ["a"] * 100 + ["ab"] * 230,
    "a moves up over the whole recording": ["b", ""] * 14 + ["a", "b"] * 15,
    "zero joints": ["x"] + ["a"] * 20 + ["x"] * 2 + ["a"] * 3,
    "zero joints of the only one": ["o"] + ["a"] * 20 + ["o"] * 2 + ["a"] * 3,
    "zero joints beside a body": ["ax"] * 20,
    "lying now and then": ["aB"] * 5 + ["ab"] * 10 + ["AB"] * 3,
    "a flat ghost": ["aB"] * 20,
    "only flat ones": ["AB"] * 20,
    "short ghosts": ["ab"] * 11 + ["ac"] * 12,
    "nobody long enough": ["ab"] * 5 + ["a"] * 2,
}


def recording(frames: Sequence[str], seed: int = 0) -> SkeletonSample:
    """25 joints in metres; people stand a metre apart, three metres away, and tremble."""
    generator = np.random.default_rng(seed)
    pose = generator.uniform(-1, 1, size=(25, 3)) * [0.3, 0.9, 0.2]  # taller than wide
    people = "".join(frames)
    bodies = [body_of(name, pose, generator) for name in people]
    return SkeletonSample(
        id="made",
        frame_bodies=np.array([len(names) for names in frames], dtype=np.int32),
        xyz=np.array(bodies, dtype=np.float32).reshape(-1, 25, 3),
        body_id=np.array([identifier(name) for name in people], dtype=np.int64),
    )


def identifier(name: str) -> int:
    """The tracker's id, of the size that Kinect's have."""
    return 72057594037931101 + ord("a" if name == "o" else name.lower())


def body_of(name: str, pose: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """One person in one frame."""
    if name in "xo":
        return np.zeros((25, 3))
    lively = LIVELY[name.lower()]
    tremble = generator.uniform(-lively, lively, size=(25, 3)) * [0.3, 1, 1]
    lying = (pose + tremble)[:, [1, 0, 2]] if name.isupper() else pose + tremble
    place = np.array([ord(name.lower()) - ord("b"), 0, 3])
    return lying + place


def random_recording(seed: int) -> SkeletonSample:
    """People come and go, leave gaps, and change places in the list."""
    generator = np.random.default_rng(seed)
    length = int(generator.integers(1, 120))
    there = {}
    for name in "abcde"[: generator.integers(1, 6)]:
        start, end = np.sort(generator.integers(0, length + 1, size=2))
        seen = generator.random(length) > generator.choice([0.0, 0.1])
        seen[:start] = seen[end:] = False
        there[name] = seen
    there["a"][generator.integers(length)] = True  # a recording has at least one body
    frames = []
    for t in range(length):
        names = [name for name, seen in there.items() if seen[t]]
        if generator.random() < 0.1:
            generator.shuffle(names)
        frames.append("".join(n.upper() if generator.random() < 0.1 else n for n in names))
    return recording(frames, seed)


def real_recordings(folder: Path) -> list[SkeletonSample]:
    """NTU's `.skeleton` files of a folder."""
    from skelray.datasets.ntu.parser import parse_skeleton

    samples = []
    for file in sorted(folder.glob("*.skeleton")):
        parsed = parse_skeleton(file.read_bytes(), str(file))
        samples.append(
            SkeletonSample(
                id=file.stem,
                frame_bodies=parsed.frame_bodies,
                xyz=parsed.xyz,
                body_id=parsed.body_id,
            )
        )
    assert samples
    return samples
