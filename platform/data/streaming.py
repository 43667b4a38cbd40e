"""Batches through Ray Data: only the rows' numbers are permuted, tasks on any node read the frames.

For caches that fit neither the device nor the host, on clusters whose workers should not touch the
files, and for clips that nodes without a GPU decode. Order is preserved, so that the batches equal
the resident ones bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import ray.data
import torch
from ray.data import ActorPoolStrategy

from skelray.platform.data.cache import Cache
from skelray.platform.data.clip_loading import ClipData, batches_in_flight
from skelray.platform.data.clip_reading import ClipReader, Outcome, Plan
from skelray.platform.data.loading import (
    Columns,
    Lengths,
    ResidentField,
    Sampling,
    same_recordings,
)
from skelray.platform.method.batch import Batch
from skelray.platform.method.draws import Draws

READER_CPUS = 0.1  # that Ray reserves for the actor that reads for a worker
DECODER_CPUS = 1.0  # and for one that decodes clips

_CLIP, _PLAN, _OUTCOME = "clip", "plan/", "outcome/"  # columns of what an actor answers


class _Reader:
    """Opens the caches once per process and answers row numbers with their frames and clips."""

    def __init__(
        self, folders: Mapping[str, str], clips: ClipReader | None, seed: int, epoch: int
    ) -> None:
        caches = {name: Cache.open(Path(folder)) for name, folder in folders.items()}
        cpu = torch.device("cpu")
        self.fields = {name: ResidentField(cache, cpu) for name, cache in caches.items()}
        # Ray has reserved one core for this process
        self.clips = ClipData(caches, clips, cpu, "host", threads=1) if clips else None
        self.seed, self.epoch = seed, epoch

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        rows = torch.tensor(row["rows"])
        answer: dict[str, Any] = {"rows": row["rows"]}
        for name, field in self.fields.items():
            ragged = field.gather(rows)
            for part in field.of_frames:
                answer[f"{name}/{part}"] = getattr(ragged, part).numpy()
        if self.clips:
            draws = Draws(self.seed, self.epoch, self.clips.keys(rows.numpy()))
            pending = self.clips.begin(rows.numpy(), draws)
            outcomes = zip(*(task.result() for task in pending.tasks), strict=True)
            answer |= {
                f"{_OUTCOME}{k}": list(v) for k, v in zip(Outcome._fields, outcomes, strict=True)
            }
            answer[_CLIP] = pending.clip.numpy()
            answer |= {f"{_PLAN}{k}": v.numpy() for k, v in vars(pending.plan).items()}
        return answer


class StreamingLoader:
    """Epochs of batches that a Ray Data pipeline reads ahead; Ray must be connected."""

    def __init__(
        self,
        caches: Mapping[str, Cache],
        sampling: Sampling,
        device: torch.device,
        *,
        clips: ClipReader | None = None,
        decoders: int = 1,
        in_flight: int = 0,
    ) -> None:
        """With `clips`, `decoders` actors of a core each decode at most `in_flight` frames ahead.

        UsageError where that is less than one batch.
        """
        self.clips = clips
        self.pool: dict[str, Any] = {"compute": ActorPoolStrategy(size=1), "num_cpus": READER_CPUS}
        if clips is not None:
            ahead = batches_in_flight(sampling, clips.spec.frames, in_flight)
            actors = min(decoders, ahead)
            each = ahead // actors
            self.pool = {
                "compute": ActorPoolStrategy(size=actors, max_tasks_in_flight_per_actor=each),
                "num_cpus": DECODER_CPUS,
            }
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
            fn_constructor_args=(self.folders, self.clips, self.sampling.seed, epoch),
            **self.pool,
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
        if self.clips:
            plan = Plan(**{f.name: torch.tensor(row[f"{_PLAN}{f.name}"]) for f in fields(Plan)})
            clip = torch.tensor(np.asarray(row[_CLIP]))
            columns = (row[f"{_OUTCOME}{name}"] for name in Outcome._fields)
            outcomes = [Outcome(*one) for one in zip(*columns, strict=True)]
            batch = self.clips.fill(batch, plan, clip, outcomes)
        return batch.to(self.device)
