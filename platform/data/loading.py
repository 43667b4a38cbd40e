"""Batches for the training loop and the evaluations, from caches resident in memory.

A skeleton cache is one flat buffer: resident on the device where it fits, else memory-mapped on the
host (one copy per node). A batch is a gather; no sample is touched in Python.
`skelray.platform.data.streaming` gives the same batches through Ray Data.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from skelray.platform.data import order
from skelray.platform.data.cache import Cache
from skelray.platform.errors import DataError
from skelray.platform.method.batch import Batch, Ragged

Residency = Literal["auto", "device", "host", "stream"]


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How an epoch's rows become batches; see `order.batches`."""

    rows: np.ndarray  # (n,) int64: rows of the index that take part
    seed: int
    batch: int  # global
    last: Literal["drop", "pad"]
    rank: int = 0
    world: int = 1
    labels: bool = False
    parts: int = 1  # of an accumulated step

    @property
    def steps(self) -> int:
        """Batches per epoch."""
        return order.steps_per_epoch(len(self.rows), self.batch, self.last)

    def epoch(self, epoch: int, first: int = 0) -> Iterator[list[np.ndarray]]:
        """This rank's rows step by step from step `first` on, each step in its parts."""
        steps = order.batches(
            self.rows,
            seed=self.seed,
            epoch=epoch,
            batch=self.batch,
            last=self.last,
            rank=self.rank,
            world=self.world,
        )
        for rows in islice(steps, first, None):
            yield [part for part in np.array_split(rows, self.parts) if len(part)]


class Columns:
    """What the index says of each recording, as tensors: everything of a batch but the frames."""

    def __init__(self, cache: Cache) -> None:
        self.id = cache.index["id"]
        self._values = {
            name: torch.from_numpy(np.array(cache.index[name]))
            for name in ("key", "label", "subject", "camera", "setup", "fps")
        }

    def keys(self, rows: Tensor) -> Tensor:
        """(N,) int64, from which the draws of these recordings are made."""
        return self._values["key"][rows]

    def batch(self, rows: Tensor, skeletons: Mapping[str, Ragged], *, labels: bool) -> Batch:
        """The batch of these rows (N,) with these frames, on the host."""
        values = {name: column[rows] for name, column in self._values.items()}
        label = values.pop("label")
        return Batch(
            index=rows,
            id=self.id[rows.numpy()].tolist(),
            skeletons=skeletons,
            label=label if labels and bool((label >= 0).all()) else None,
            **values,
        )


class Lengths:
    """Where each sequence of one cache lies and what its preprocessing says of it."""

    def __init__(self, cache: Cache) -> None:
        self.offsets = torch.from_numpy(cache.offsets)
        self.length = torch.from_numpy(np.array(cache.index["length"]))
        self.scalars = {name: torch.from_numpy(values) for name, values in cache.scalars.items()}

    def frame_rows(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of the flat frame buffer (ΣT,) for these sequences, and their offsets (N + 1,)."""
        starts, sizes = self.offsets[rows], self.offsets[rows + 1] - self.offsets[rows]
        offsets = torch.cat([torch.zeros(1, dtype=torch.int64), sizes.cumsum(0)])
        within = torch.arange(int(offsets[-1])) - offsets[:-1].repeat_interleave(sizes)
        return starts.repeat_interleave(sizes) + within, offsets

    def ragged(self, rows: Tensor, offsets: Tensor, of_frames: Mapping[str, Tensor]) -> Ragged:
        """The sequences of these rows, given what belongs to their frames."""
        return Ragged(
            **of_frames,
            offsets=offsets,
            length=self.length[rows],
            scalars={name: values[rows] for name, values in self.scalars.items()},
        )


class ResidentField:
    """One cache's frames as tensors: on `device`, or on the host without a copy."""

    def __init__(self, cache: Cache, device: torch.device) -> None:
        self.lengths = Lengths(cache)
        arrays = {"frames": cache.frames, "present": cache.present, "score": cache.score}
        self.of_frames = {
            name: _tensor(array).to(device) for name, array in arrays.items() if array is not None
        }

    def gather(self, rows: Tensor) -> Ragged:
        """The sequences of these rows (N,) as new tensors."""
        chosen, offsets = self.lengths.frame_rows(rows)
        chosen = chosen.to(self.of_frames["frames"].device)
        gathered = {name: values[chosen] for name, values in self.of_frames.items()}
        return self.lengths.ragged(rows, offsets, gathered)


def _tensor(array: np.ndarray) -> Tensor:
    """A tensor over read-only memory: only gathered from, so torch's warning does not apply."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def same_recordings(caches: Mapping[str, Cache]) -> Cache:
    """The first cache; DataError where another one holds other recordings."""
    first = next(iter(caches.values()))
    for name, cache in caches.items():
        if not np.array_equal(cache.index["id"], first.index["id"]):
            raise DataError(f"cache {cache.path} ({name}) holds other recordings: delete it")
    return first


class ResidentData:
    """Every field a phase reads, in memory, row for row the same recordings."""

    def __init__(
        self, caches: Mapping[str, Cache], device: torch.device, residency: Residency = "auto"
    ) -> None:
        self.device = device
        self.columns = Columns(same_recordings(caches))
        place = device if _on_device(caches, device, residency) else torch.device("cpu")
        self.fields = {name: ResidentField(cache, place) for name, cache in caches.items()}

    def batch(self, rows: np.ndarray, *, labels: bool) -> Batch:
        """The recordings of these rows (N,), on the device."""
        chosen = torch.from_numpy(np.ascontiguousarray(rows))
        skeletons = {name: field.gather(chosen) for name, field in self.fields.items()}
        return self.columns.batch(chosen, skeletons, labels=labels).to(self.device)


def _on_device(caches: Mapping[str, Cache], device: torch.device, residency: Residency) -> bool:
    """True where the frames should live on the device: asked for, or at most a third of it."""
    if residency != "auto":
        return residency == "device"
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return sum(cache.nbytes for cache in caches.values()) < free / 3


class ResidentLoader:
    """Epochs of batches gathered from memory."""

    def __init__(self, data: ResidentData, sampling: Sampling) -> None:
        self.data = data
        self.sampling = sampling

    def __call__(self, epoch: int, first: int = 0) -> Iterator[list[Batch]]:
        """The steps of 0-based `epoch` from step `first` on, each in its parts."""
        for parts in self.sampling.epoch(epoch, first):
            yield [self.data.batch(rows, labels=self.sampling.labels) for rows in parts]
