"""The cache: a store's recordings after one preprocessing, in two Arrow files, memory-mapped.

`index.arrow` has a row per recording (identity, labels, lengths); `frames.arrow` a row per frame,
in one batch, so that all frames are one flat buffer without a copy. Keyed by the hashes of store
and preprocessing.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from skelray.platform import paths
from skelray.platform.data.store import Store
from skelray.platform.errors import DataError
from skelray.platform.preprocessing import Preprocessing


@dataclass(frozen=True)
class Cache:
    """A cached preprocessing, memory-mapped: opening costs nothing, the node holds it once."""

    path: Path
    index: dict[str, np.ndarray]  # name -> (n,) values; integers are -1 where unknown
    frames: np.ndarray  # (ΣT, M, V, C) float32, read-only
    present: np.ndarray  # (ΣT, M) bool, read-only
    offsets: np.ndarray  # (n + 1,) int64
    scalars: dict[str, np.ndarray]  # name -> (n,) float32
    score: np.ndarray | None = None  # (ΣT, M, V) float32, read-only: confidence of 2D poses

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def nbytes(self) -> int:
        """Bytes of all that belongs to frames."""
        score = 0 if self.score is None else self.score.nbytes
        return self.frames.nbytes + self.present.nbytes + score

    @classmethod
    def open(cls, path: Path) -> Cache:
        """Memory-maps a finished cache; DataError where it is damaged."""
        try:
            table = pa.ipc.open_file(pa.memory_map(os.fspath(path / "index.arrow"))).read_all()
            frames = pa.ipc.open_file(pa.memory_map(os.fspath(path / "frames.arrow"))).read_all()
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(f"cache {path} is damaged ({error}): delete the folder") from None
        columns = {name: table.column(name).combine_chunks() for name in table.column_names}
        index = {
            name: np.asarray(column.to_pylist())
            if pa.types.is_string(column.type)
            else column.to_numpy(zero_copy_only=False)
            for name, column in columns.items()
        }
        shape = tuple(int(size) for size in frames.schema.metadata[b"shape"].split())
        return cls(
            path=path,
            index=index,
            frames=_flat(frames, "frames").reshape(-1, *shape),
            present=_flat(frames, "present").view(bool).reshape(-1, shape[0]),
            score=_flat(frames, "score").reshape(-1, *shape[:2])
            if "score" in frames.column_names
            else None,
            offsets=np.concatenate([[0], np.cumsum(index["frames"], dtype=np.int64)]),
            scalars={
                name.removeprefix("scalar/"): values.astype(np.float32)
                for name, values in index.items()
                if name.startswith("scalar/")
            },
        )


def cache_path(source: Store, preprocessing: Preprocessing) -> Path:
    """Where the cache of this store and preprocessing lies, whether it is there or not."""
    return paths.caches() / source.version / preprocessing.key()


def _flat(table: pa.Table, name: str) -> np.ndarray:
    flat: np.ndarray = table.column(name).chunk(0).flatten().to_numpy()
    return flat
