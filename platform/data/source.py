"""A prepared data set under one protocol: caches, parts as rows, what a method may know of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from skelray.platform import paths, registry
from skelray.platform.config import DataConfig
from skelray.platform.data.cache import Cache, cache_path
from skelray.platform.data.parts import Part, labels_under, rows_of
from skelray.platform.data.protocols import find_protocol
from skelray.platform.data.store import Store
from skelray.platform.dataset import Dataset, Protocol
from skelray.platform.method import DataSpec, Inputs


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


@dataclass(frozen=True)
class Source:
    """A store, and how it is split. Everything here only reads; `caching.build` makes caches."""

    dataset: type[Dataset]
    protocol: Protocol
    store: Store

    @classmethod
    def open(cls, config: DataConfig) -> Source:
        """Opens the prepared data set a run asks for; DataError where it is not prepared."""
        dataset = registry.load_dataset(config.dataset)
        store = Store.open(store_path(dataset, config.size), dataset)
        return cls(dataset, find_protocol(dataset, store, config.protocol), store)

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
            for name, preprocessing in inputs.skeletons.items()
        }

    def rows(self, index: Mapping[str, np.ndarray], part: Part) -> np.ndarray:
        """Rows (n,) of a part over the index of one of `caches`."""
        return rows_of(index, self.protocol, part)

    def _under_protocol(self, cache: Cache) -> Cache:
        label = labels_under(cache.index["label"], self.dataset.classes, self.protocol)
        return replace(cache, index={**cache.index, "label": label})
