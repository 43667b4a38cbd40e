"""Batches through Ray Data: only the rows' numbers are permuted, tasks on any node read the frames.

For caches that fit neither the device nor the host, on clusters whose workers should not touch the
files, and later for clips. Order is preserved, so that the batches equal the resident ones bit for
bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import ray.data
import torch

from skelray.platform.data.cache import Cache
from skelray.platform.data.loading import (
    Columns,
    Lengths,
    ResidentField,
    Sampling,
    same_recordings,
)
from skelray.platform.method.batch import Batch

READER_CPUS = 0.1  # that Ray reserves for the actor that reads for a worker


class _Reader:
    """Opens the caches once per process and answers row numbers with their frames."""

    def __init__(self, folders: Mapping[str, str]) -> None:
        caches = {name: Cache.open(Path(folder)) for name, folder in folders.items()}
        cpu = torch.device("cpu")
        self.fields = {name: ResidentField(cache, cpu) for name, cache in caches.items()}

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        rows = torch.tensor(row["rows"])
        answer: dict[str, Any] = {"rows": row["rows"]}
        for name, field in self.fields.items():
            ragged = field.gather(rows)
            for part in field.of_frames:
                answer[f"{name}/{part}"] = getattr(ragged, part).numpy()
        return answer


class StreamingLoader:
    """Epochs of batches that a Ray Data pipeline reads ahead; Ray must be connected."""

    def __init__(
        self, caches: Mapping[str, Cache], sampling: Sampling, device: torch.device
    ) -> None:
        self.folders = {name: str(cache.path) for name, cache in caches.items()}
        self.sampling = sampling
        self.device = device
        # labels and lengths are small: they come from the index, not through the stream
        self.columns = Columns(same_recordings(caches))
        self.lengths = {name: Lengths(cache) for name, cache in caches.items()}

    def __call__(self, epoch: int, first: int = 0) -> Iterator[list[Batch]]:
        """The steps of 0-based `epoch` from step `first` on, each in its parts."""
        steps = list(self.sampling.epoch(epoch, first))
        ray.data.DataContext.get_current().execution_options.preserve_order = True
        rows = [{"rows": part.tolist()} for parts in steps for part in parts]
        stream = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            _Reader,  # type: ignore[arg-type] # Ray takes classes, its annotation does not say so
            fn_constructor_args=(self.folders,),
            compute=ray.data.ActorPoolStrategy(size=1),
            num_cpus=READER_CPUS,
        )
        answers = iter(stream.iter_rows())
        for parts in steps:
            yield [self._batch(next(answers)) for _ in parts]

    def _batch(self, row: dict[str, Any]) -> Batch:
        rows = torch.tensor(np.asarray(row["rows"]))
        skeletons = {}
        for name, lengths in self.lengths.items():
            of_frames = {
                key.rpartition("/")[2]: torch.tensor(values)
                for key, values in row.items()
                if key.startswith(f"{name}/")
            }
            _, offsets = lengths.frame_rows(rows)
            skeletons[name] = lengths.ragged(rows, offsets, of_frames)
        batch = self.columns.batch(rows, skeletons, labels=self.sampling.labels)
        return batch.to(self.device)
