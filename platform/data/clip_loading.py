"""Batches with RGB clips: decoded in this process's threads, ahead of training within a budget."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from skelray.platform.data.cache import Cache
from skelray.platform.data.clip_reading import ClipReader, Outcome, Plan
from skelray.platform.data.loading import Residency, ResidentData, ResidentField, Sampling
from skelray.platform.errors import DataError, UsageError
from skelray.platform.method.batch import Batch
from skelray.platform.method.draws import Draws


class ClipData:
    """Skeletons in memory and clips on disk, row for row the same recordings."""

    def __init__(
        self,
        caches: Mapping[str, Cache],
        reader: ClipReader,
        device: torch.device,
        residency: Residency = "auto",
        *,
        threads: int = 0,
    ) -> None:
        """`threads` decode, by default as many as there are cores."""
        self.skeletons = ResidentData(caches, device, residency)
        self.reader = reader
        self.pool = ThreadPoolExecutor(threads or os.cpu_count() or 1, "decode")
        joints, cpu = reader.spec.joints, torch.device("cpu")
        # boxes are decided on the host, before a file is opened
        self.poses = ResidentField(caches[joints], cpu) if joints else None

    def plan(self, rows: np.ndarray, draws: Draws | None) -> Plan:
        """What to decode for these rows (N,) of the index."""
        chosen = torch.from_numpy(np.ascontiguousarray(rows))
        poses = self.poses.gather(chosen) if self.poses else None
        return self.reader.plan(chosen, poses, draws)

    def begin(self, rows: np.ndarray, draws: Draws | None) -> Pending:
        """Begins to decode the clips of these rows."""
        plan = self.plan(rows, draws)
        clip = self.reader.black(len(plan))
        return Pending(rows, plan, clip, self.reader.decode(plan, clip, self.pool))

    def finish(self, pending: Pending, *, labels: bool) -> Batch:
        """The batch, when its clips are decoded."""
        outcomes = [task.result() for task in pending.tasks]
        batch = self.skeletons.batch(pending.rows, labels=labels)
        return self.reader.fill(batch, pending.plan, pending.clip, outcomes)

    def batch(self, rows: np.ndarray, *, labels: bool) -> Batch:
        """The recordings of these rows (N,), on the device, as an evaluation reads them.

        DataError where a clip cannot be read: a figure must not be of black pictures.
        """
        pending = self.begin(rows, None)
        for problem, read in (task.result() for task in pending.tasks):
            if not read:
                raise DataError(f"{problem}: prepare the clips again, the damaged one is made anew")
        return self.finish(pending, labels=labels)

    def keys(self, rows: np.ndarray) -> Tensor:
        """(N,) int64, from which draws are made."""
        return self.skeletons.columns.keys(torch.from_numpy(np.ascontiguousarray(rows)))


@dataclass(frozen=True)
class Pending:
    """A batch whose clips are being decoded."""

    rows: np.ndarray
    plan: Plan
    clip: Tensor
    tasks: list[Future[Outcome]]

    @property
    def frames(self) -> int:
        """That it keeps in memory."""
        return self.plan.frame.numel()


def batches_in_flight(sampling: Sampling, length: int, in_flight: int) -> int:
    """How many batches of clips of `length` frames the budget holds; UsageError where none."""
    largest = -(-sampling.batch // (sampling.world * sampling.parts)) * length
    require_frames(largest, in_flight)
    return in_flight // largest


def require_frames(largest: int, in_flight: int) -> None:
    """UsageError where the budget does not hold the frames of the largest batch of a worker."""
    if largest > in_flight:
        raise UsageError(
            f"data.frames_in_flight={in_flight} is less than the {largest} frames of one batch on "
            f"a worker: set it to {largest} or more, or split the step with training.accumulate"
        )


class ClipLoader:
    """Epochs of batches with clips; `in_flight` bounds the frames decoded ahead of training."""

    def __init__(self, data: ClipData, sampling: Sampling, *, in_flight: int) -> None:
        """UsageError where the budget does not hold one batch."""
        self.data = data
        self.sampling = sampling
        self.in_flight = in_flight
        batches_in_flight(sampling, data.reader.spec.frames, in_flight)

    def __call__(self, epoch: int, first: int = 0) -> Iterator[list[Batch]]:
        """The steps of 0-based `epoch` from step `first` on, each in its parts."""
        steps = list(self.sampling.epoch(epoch, first))
        waiting = deque(rows for step in steps for rows in step)
        ahead: deque[Pending] = deque()
        try:
            for step in steps:
                batches = []
                for _ in step:
                    self._decode_ahead(epoch, waiting, ahead)
                    batches.append(self.data.finish(ahead[0], labels=self.sampling.labels))
                    ahead.popleft()
                self._decode_ahead(epoch, waiting, ahead)
                yield batches
        finally:
            for pending in ahead:
                for task in pending.tasks:
                    task.cancel()

    def _decode_ahead(self, epoch: int, waiting: deque[np.ndarray], ahead: deque[Pending]) -> None:
        """Begins with as many batches as the budget holds."""
        length = self.data.reader.spec.frames
        while waiting:
            if sum(one.frames for one in ahead) + len(waiting[0]) * length > self.in_flight:
                return
            rows = waiting.popleft()
            draws = Draws(self.sampling.seed, epoch, self.data.keys(rows))
            ahead.append(self.data.begin(rows, draws))
