"""`ArrayFolder`: a data set of one array file per recording, in a few lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from skelray.platform.dataset import (
    Dataset,
    Discovery,
    Protocol,
    RawItem,
    SkeletonSample,
    discover_files,
)
from skelray.platform.errors import DataError
from skelray.platform.importing.arrays import Arrays, read_json, read_npy, read_npz
from skelray.platform.importing.frames import Bodies, Layout, bodies_of
from skelray.platform.importing.listing import CSV, hidden, is_table, listed, suffix
from skelray.platform.importing.table import read_details
from skelray.platform.importing.text import read_csv

_READERS = {".npy": read_npy, ".npz": read_npz, ".json": read_json}
SUFFIXES = (*_READERS, CSV)


class ArrayFolder(Dataset):
    """Array files below a folder or in zip archives, and a table `recordings.csv` of labels.

    A subclass names the data set, its skeleton, persons, classes and protocols. A recording's id is
    its file's name without the ending. With a table, recordings are the files that it lists;
    without one all files are, unlabelled. docs/adding-a-data-set.md describes files and table.
    """

    protocols: ClassVar[tuple[Protocol, ...]] = ()
    scored: ClassVar[bool] = False  # the last number of each joint is its score, not a coordinate

    def discover(self, raw: Path) -> Discovery:
        """Lists the recordings sorted by id, and the table's splits; see `listed`."""
        found = discover_files(raw, SUFFIXES, hidden)
        items = [item for item in found.items if not is_table(item)]
        tables = [item for item in found.items if is_table(item)]
        return listed(items, tables, found.skipped, SUFFIXES)

    def read(self, item: RawItem) -> Iterator[SkeletonSample]:
        """Yields the one recording of a file, with what its row says; DataError names the fault."""
        fields = read_details(item.details, self.classes) if item.details else {}
        fields["fps"] = fields.get("fps") or self.fps
        yield SkeletonSample(id=item.id, **self._bodies(item)._asdict(), **fields)

    def _bodies(self, item: RawItem) -> Bodies:
        layout = Layout(skeleton=self.skeleton, scored=self.scored)
        content = item.read_bytes()
        kind = suffix(item)
        if kind == CSV:
            arrays = Arrays(read_csv(content, layout, item.where))
        elif kind in _READERS:
            arrays = _READERS[kind](content, item.where)
        else:
            raise DataError(f"{item.where}: not one of {', '.join(SUFFIXES)}")
        return bodies_of(arrays.values, arrays.score, layout, item.where)
