"""Which body of a frame's list is whom: by position in the list, by the tracker's id, by energy.

T frames, B bodies summed over the frames, M persons, V joints, C coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from skelray.platform.dataset import SkeletonSample
from skelray.platform.preprocessing.gaps import seen

Identity = Literal["position", "number", "id"]


@dataclass(frozen=True)
class Slots:
    """Where the bodies of a recording go: body b to slot[b] of frame[b], or nowhere.

    Bodies whose slot is `persons` or more are left out.
    """

    frames: int
    persons: int
    frame: np.ndarray  # (B,) int64
    slot: np.ndarray  # (B,) int64

    def fill(self, values: np.ndarray) -> np.ndarray:
        """What is known of each body, (B, …), as (T, M, …): zero where nobody is."""
        filled = np.zeros((self.frames, self.persons, *values.shape[1:]), dtype=values.dtype)
        kept = self.slot < self.persons
        filled[self.frame[kept], self.slot[kept]] = values[kept]
        return filled


def choose_bodies(sample: SkeletonSample, persons: int, by: Identity) -> Slots:
    """Slots by list position or by identity.

    position: person m of a frame is the m-th body of the frame's list. No tracking: slots may swap
    between people (as in all the published converters but SGN's).
    number: a body's id is its slot, as annotation files number their persons, so that the second
    stays the second where the first is absent; without ids the position.
    id: the identities seen in most frames, the most seen first; each keeps its slot.
    """
    frame, position = _places(sample)
    if by == "position":
        return Slots(sample.frames, persons, frame, position)
    if by == "number":
        number = position if sample.body_id is None else sample.body_id
        return Slots(sample.frames, persons, frame, number)
    who = identities(sample)
    often_first = np.argsort(-np.bincount(who), kind="stable")
    return Slots(sample.frames, persons, frame, np.argsort(often_first)[who])


def identities(sample: SkeletonSample) -> np.ndarray:
    """Who each body is, (B,) int64: numbers from 0 in the order of first appearance.

    A data set without body ids has one person per recording or keeps people at their places in the
    list (2D poses): there the place is the identity.
    """
    ids = _places(sample)[1] if sample.body_id is None else sample.body_id
    _, first, who = np.unique(ids, return_index=True, return_inverse=True)
    numbers: np.ndarray = np.argsort(np.argsort(first))[who]
    return numbers


def most_energetic(bodies: np.ndarray, persons: int) -> np.ndarray:
    """The slots of (T, K, V, C) with most energy, the highest first: (T, `persons`, V, C).

    Energy is the sum of each coordinate's standard deviation over joints and frames with the body
    (fmthoker/skeleton-contrast, data_gen/ntu_gendata.py); among equals the later slot is first.
    """
    order = np.argsort([_energy(bodies[:, slot]) for slot in range(bodies.shape[1])], kind="stable")
    return bodies[:, order[::-1][:persons]]


def _energy(body: np.ndarray) -> float:
    points = body[seen(body)].reshape(-1, body.shape[-1]).astype(np.float64)
    return float(points.std(axis=0).sum()) if len(points) else 0.0


def _places(sample: SkeletonSample) -> tuple[np.ndarray, np.ndarray]:
    """Frame and position in the frame's list of each body, both (B,) int64."""
    bodies = np.asarray(sample.frame_bodies, dtype=np.int64)
    frame = np.repeat(np.arange(len(bodies)), bodies)
    return frame, np.arange(len(frame)) - np.repeat(np.cumsum(bodies) - bodies, bodies)
