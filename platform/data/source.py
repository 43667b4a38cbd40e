"""A prepared data set under one protocol: caches, parts as rows, what a method may know of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skelray.platform import paths, registry
from skelray.platform.config import DataConfig
from skelray.platform.data.cache import Cache, cache_path
from skelray.platform.data.parts import Part, rows_of
from skelray.platform.data.protocols import find_protocol
from skelray.platform.data.store import Store
from skelray.platform.dataset import Dataset, Protocol
from skelray.platform.method import DataSpec, Inputs


def store_path(dataset: type[Dataset], size: str) -> Path:
    """Where the store of a data set lies; generated sets have one per size."""
    return paths.stores() / (f"{dataset.name}-{size}" if size else dataset.name)


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
    def spec(self) -> DataSpec:
        """What a method may know of the data."""
        skeleton = self.dataset.skeleton
        return DataSpec(
            skeleton=skeleton,
            persons=self.dataset.persons,
            coordinates=skeleton.dimensions,
            classes=len(self.dataset.classes),
        )

    def caches(self, inputs: Inputs) -> dict[str, Cache]:
        """The caches of these inputs, which must have been built."""
        return {
            name: Cache.open(cache_path(self.store, preprocessing))
            for name, preprocessing in inputs.skeletons.items()
        }

    def rows(self, index: Mapping[str, np.ndarray], part: Part) -> np.ndarray:
        """Rows (n,) of a part over a cache's index."""
        return rows_of(index, self.protocol, part)
