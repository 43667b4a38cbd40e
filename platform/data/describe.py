"""What a store holds, counted from its columns without reading coordinates, and a few examples.

Memory holds one shard's counts and a few numbers per recording, so that sets of a million
recordings are described like small ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, zip_longest

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skelray.platform.data.parts import UNKNOWN, Part, labels_under, rows_of
from skelray.platform.data.protocols import find_protocol
from skelray.platform.data.store import Store, read_columns, read_shard
from skelray.platform.dataset import Dataset, Protocol, SkeletonSample
from skelray.platform.errors import DataError
from skelray.platform.method.draws import key_of

STATES = ("lost", "inferred", "tracked")  # joint_state 0, 1, 2

_IDENTITY = ("id", "label", "subject", "camera", "setup", "fps")
_COUNTED = ("frame_bodies", "joint_state", "score")


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Totals over frames and joints; they add up over shards."""

    frames: np.ndarray  # (4,) int64: frames with no, one, two, three or more bodies
    joints: np.ndarray  # (3,) int64: joints by state, see STATES; zeros where none is stored
    scores: int = 0  # joints that have a score
    score_sum: float = 0.0
    score_zero: int = 0  # joints of score 0: not seen

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            frames=self.frames + other.frames,
            joints=self.joints + other.joints,
            scores=self.scores + other.scores,
            score_sum=self.score_sum + other.score_sum,
            score_zero=self.score_zero + other.score_zero,
        )


@dataclass(frozen=True, kw_only=True)
class Description:
    """A store in numbers.

    `recordings` has a row for each of the n recordings: id, label, subject, camera, setup, fps,
    frames, bodies (the most in one frame) and empty (frames without a body).
    """

    dataset: type[Dataset]
    store: Store
    recordings: pa.Table
    counts: Counts

    def __len__(self) -> int:
        return int(self.recordings.num_rows)

    def column(self, name: str) -> np.ndarray:
        """One value per recording (n,); UNKNOWN where there is none, NaN for a frame rate."""
        column = self.recordings.column(name)
        if name == "id":
            return np.asarray(column.to_pylist())
        values: np.ndarray = column.fill_null(np.nan if name == "fps" else UNKNOWN).to_numpy()
        return values

    def tally(self, name: str) -> Mapping[int, int]:
        """Value -> recordings that have it, sorted."""
        values, counts = np.unique(self.column(name), return_counts=True)
        return dict(zip(values.tolist(), counts.tolist(), strict=True))

    def part(self, protocol: Protocol, part: Part) -> int:
        """Recordings of a part of a split."""
        fields = {protocol.field, protocol.holdout_field}
        index = {name: self.column(name) for name in fields}
        index["label"] = labels_under(self.column("label"), self.dataset.classes, protocol)
        try:
            return len(rows_of(index, protocol, part))
        except DataError:  # the part is empty: an error for a run, a number here
            return 0


def describe(dataset: type[Dataset], store: Store) -> Description:
    """Counts a store; DataError names a shard that cannot be read, a label without a class."""
    tables = []
    counts = Counts(frames=np.zeros(4, np.int64), joints=np.zeros(len(STATES), np.int64))
    for shard in store.shards:
        table = read_columns(shard, [*_IDENTITY, *_COUNTED])
        bodies = table.column("frame_bodies").combine_chunks()
        values, starts = bodies.flatten().to_numpy(), bodies.offsets.to_numpy()[:-1]
        tables.append(
            table.select(_IDENTITY)
            .append_column("frames", pc.list_value_length(bodies))
            .append_column("bodies", pa.array(_reduce(np.maximum, values, starts)))
            .append_column("empty", pa.array(_reduce(np.add, values == 0, starts)))
        )
        counts += _counts(table)
    recordings = pa.concat_tables(tables)
    highest = pc.max(recordings.column("label")).as_py()
    if highest is not None and highest >= len(dataset.classes):
        raise DataError(
            f"{store.path} holds label {highest}, {dataset.name} has {len(dataset.classes)} "
            "classes: prepare it again with --fresh"
        )
    return Description(dataset=dataset, store=store, recordings=recordings, counts=counts)


def protocols(dataset: type[Dataset], store: Store, name: str = "") -> list[Protocol]:
    """The split of that name, or all: the data set's own and those that came with its files."""
    names = [name] if name else [*(known.name for known in dataset.protocols), *store.splits]
    return [find_protocol(dataset, store, name) for name in names]


def examples(description: Description, *, count: int, seed: int) -> list[SkeletonSample]:
    """At most `count` recordings, read whole, in the order of their classes.

    The classes lie at even distances in the list of those that occur; a class gives a second
    recording when every class has given one. `seed` decides which.
    """
    keys = np.array([key_of(seed, name) for name in description.column("id")])
    rows = _choose(description.column("label"), keys, count)
    return _read_rows(description, rows)


def _reduce(ufunc: np.ufunc, values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """One value per recording (n,) from the frames of each, of which there is at least one."""
    found = ufunc.reduceat(values, starts, dtype=np.int32) if len(starts) else starts
    return found.astype(np.int32)


def _counts(table: pa.Table) -> Counts:
    flat = {name: pc.list_flatten(table.column(name)).to_numpy() for name in _COUNTED}
    score = flat["score"]
    return Counts(
        frames=np.bincount(np.minimum(flat["frame_bodies"], 3), minlength=4),
        joints=np.array([np.sum(flat["joint_state"] == state) for state in range(len(STATES))]),
        scores=len(score),
        score_sum=float(np.sum(score, dtype=np.float64)),
        score_zero=int(np.sum(score == 0)),
    )


def _choose(label: np.ndarray, keys: np.ndarray, count: int) -> list[int]:
    """At most `count` rows, ascending by label; of equal labels those with the lowest keys."""
    kinds = np.unique(label)
    kinds = kinds[np.linspace(0, len(kinds) - 1, min(len(kinds), count)).round().astype(int)]
    order = np.argsort(keys, kind="stable")
    queues = [order[label[order] == kind][:count].tolist() for kind in kinds]
    rounds = chain.from_iterable(zip_longest(*queues))
    chosen = [row for row in rounds if row is not None][:count]
    return sorted(chosen, key=lambda row: (label[row], row))


def _read_rows(description: Description, rows: list[int]) -> list[SkeletonSample]:
    store = description.store
    ends = np.cumsum([shard["rows"] for shard in store.manifest["shards"]])
    found: dict[int, SkeletonSample] = {}
    for number in sorted({int(np.searchsorted(ends, row, side="right")) for row in rows}):
        start = int(ends[number]) - store.manifest["shards"][number]["rows"]
        for row, sample in enumerate(read_shard(store.shards[number], description.dataset), start):
            if row in rows:
                found[row] = sample
    return [found[row] for row in rows]
