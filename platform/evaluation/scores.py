"""What a classifier says of every test recording, on disk by sample id; matrices as columns."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skelray.platform.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Logits or log-probabilities of one classifier for n recordings."""

    id: np.ndarray  # (n,) str
    label: np.ndarray  # (n,) int64, 0-based
    values: np.ndarray  # (n, classes) float; -inf for classes that cannot be predicted

    def write(self, path: Path) -> None:
        """As Parquet: columns id, label, scores."""
        columns = {"id": self.id, "label": self.label, "scores": as_column(self.values)}
        write_table(path, pa.table(columns))

    @classmethod
    def read(cls, path: Path) -> Scores:
        """DataError where the file is missing or damaged."""
        table = read_table(path)
        return cls(
            id=table.column("id").to_numpy(),
            label=table.column("label").to_numpy(),
            values=as_matrix(table.column("scores")),
        )


def as_column(matrix: np.ndarray) -> pa.Array:
    """A matrix (n, D) as n lists of D numbers."""
    return pa.FixedSizeListArray.from_arrays(pa.array(matrix.reshape(-1)), matrix.shape[1])


def as_matrix(column: pa.ChunkedArray) -> np.ndarray:
    """The matrix (n, D) that `as_column` made a column."""
    values: np.ndarray = column.combine_chunks().flatten().to_numpy()
    return values.reshape(len(column), -1)


def write_table(path: Path, table: pa.Table) -> None:
    """Writes Parquet atomically, with the folders it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    pq.write_table(table, scratch)
    scratch.replace(path)


def read_table(path: Path) -> pa.Table:
    """Reads Parquet; DataError where the file is missing or damaged."""
    try:
        return pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(
            f"{path} cannot be read ({error}): delete it, and skelray evaluate makes it again"
        ) from None
