"""A prepared data set under one protocol: caches, parts as rows, what a method may know of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from skelray.platform import paths, registry
from skelray.platform.config import DataConfig
from skelray.platform.data.cache import Cache, cache_path
from skelray.platform.data.clip_loading import ClipData
from skelray.platform.data.clip_reading import ClipReader, VideoReader
from skelray.platform.data.clips import ClipKind, ClipStore, clips_path
from skelray.platform.data.loading import Residency, ResidentData, same_recordings
from skelray.platform.data.parts import Part, labels_under, rows_of
from skelray.platform.data.protocols import find_protocol
from skelray.platform.data.store import Store
from skelray.platform.dataset import Dataset, Protocol
from skelray.platform.errors import DataError, UsageError
from skelray.platform.method import DataSpec, Inputs
from skelray.platform.preprocessing import Preprocessing
from skelray.platform.preprocessing.no_joints import NO_JOINTS


def store_path(dataset: type[Dataset], size: str) -> Path:
    """Where the store of a data set lies; generated sets have one per size."""
    return paths.stores() / (f"{dataset.name}-{size}" if size else dataset.name)


def data_spec(dataset: type[Dataset], classes: int) -> DataSpec:
    """What a method may know of a data set under a protocol of that many classes."""
    skeleton = dataset.skeleton
    return DataSpec(
        skeleton=skeleton,
        persons=dataset.persons,
        coordinates=skeleton.dimensions,
        classes=classes,
    )


def preprocessings(inputs: Inputs) -> Mapping[str, Preprocessing]:
    """What is cached of each recording for these inputs; of clips alone, what is known of it."""
    return inputs.skeletons or {"recording": Preprocessing(name=NO_JOINTS)}


@dataclass(frozen=True)
class Source:
    """A store, and how it is split. Everything here only reads; `caching.build` makes caches."""

    dataset: type[Dataset]
    protocol: Protocol
    store: Store
    clips: ClipStore | None = None
    decoders: int = 0  # threads that decode clips; 0: the cores
    video_reader: VideoReader = "decord"
    frames_in_flight: int = 8192  # that a batch of an evaluation may have

    @classmethod
    def open(cls, config: DataConfig) -> Source:
        """Opens the prepared data set a run asks for; DataError where it is not prepared."""
        dataset = registry.load_dataset(config.dataset)
        store = Store.open(store_path(dataset, config.size), dataset)
        protocol = find_protocol(dataset, store, config.protocol)
        if not config.clips:
            return cls(dataset, protocol, store)
        folder = clips_path(store.path, ClipKind.parse(config.clips))
        return cls(
            dataset,
            protocol,
            store,
            ClipStore.open(folder, store.version),
            config.decoders,
            config.video_reader,
            config.frames_in_flight,
        )

    @property
    def version(self) -> str:
        """Identity of the recordings, and of their clips where these are read."""
        if self.clips is None:
            return self.store.version
        return paths.short_hash([self.store.version, self.clips.version])

    @property
    def classes(self) -> tuple[str, ...]:
        """The protocol's classes in the order of their numbers."""
        return self.dataset.classes_under(self.protocol)

    @property
    def spec(self) -> DataSpec:
        """What a method may know of the data."""
        return data_spec(self.dataset, len(self.classes))

    def caches(self, inputs: Inputs) -> dict[str, Cache]:
        """The caches of these inputs, which must have been built; labels as the protocol has them.

        All that trains or measures reads labels from here, so that they are numbered in one place.
        """
        return {
            name: self._under_protocol(Cache.open(cache_path(self.store, preprocessing)))
            for name, preprocessing in preprocessings(inputs).items()
        }

    def rows(self, index: Mapping[str, np.ndarray], part: Part) -> np.ndarray:
        """Rows (n,) of a part over the index of one of `caches`.

        Where clips are read, those that have one; DataError where there are none.
        """
        rows = rows_of(index, self.protocol, part)
        if self.clips is None:
            return rows
        there = rows[self.clips.rows(index["id"][rows]) >= 0]
        if not len(there):
            raise DataError(f"no recording of part {part} of {self.protocol.name} has a clip")
        return there

    def data(
        self,
        inputs: Inputs,
        device: torch.device,
        residency: Residency = "host",
    ) -> ResidentData | ClipData:
        """The recordings as batches of these inputs."""
        caches, reader = self.caches(inputs), self.clip_reader(inputs)
        if reader is None:
            return ResidentData(caches, device, residency)
        return ClipData(caches, reader, device, residency, threads=self.decoders)

    def largest_batch(self, inputs: Inputs, wanted: int) -> int:
        """`wanted` recordings, or fewer where the clips of so many have too many frames."""
        if inputs.clip is None:
            return wanted
        return min(wanted, max(1, self.frames_in_flight // inputs.clip.frames))

    def clip_reader(self, inputs: Inputs) -> ClipReader | None:
        """Reads the clips of these inputs, if they have any; see `named_clips`."""
        if inputs.clip is None:
            return None
        ids = same_recordings(self.caches(inputs)).index["id"]
        return ClipReader(self.named_clips, inputs.clip, ids, self.video_reader)

    @property
    def named_clips(self) -> ClipStore:
        """The clips, for a method that reads them; UsageError where the run names none."""
        if self.clips is None:
            raise UsageError(
                "the method reads RGB clips: name those that are prepared, such as "
                "data.clips=person-256"
            )
        return self.clips

    def _under_protocol(self, cache: Cache) -> Cache:
        label = labels_under(cache.index["label"], self.dataset.classes, self.protocol)
        return replace(cache, index={**cache.index, "label": label})
