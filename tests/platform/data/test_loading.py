"""Resident batches: a gather from flat buffers equals slicing recording by recording."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch

from skelray.platform.data.cache import Cache
from skelray.platform.data.loading import ResidentData, ResidentLoader, Sampling
from skelray.platform.errors import DataError
from skelray.platform.method import key_of

CPU = torch.device("cpu")
LENGTHS = [3, 1, 4, 1, 5, 2]


def hand_made(labels: list[int], ids: str = "abcdef") -> Cache:
    """Six recordings of different lengths, one person, two joints."""
    random = np.random.default_rng(0)
    n, total = len(LENGTHS), sum(LENGTHS)
    index = {
        "id": np.array(list(ids)),
        "key": np.array([key_of(name) for name in ids]),
        "label": np.array(labels),
        "subject": np.arange(n),
        "camera": np.arange(n) % 2,
        "setup": np.full(n, -1),
        "fps": np.full(n, 30, dtype=np.float32),
        "length": np.array(LENGTHS) * 10,
    }
    cache = Cache(
        path=Path("cache"),
        index=index,
        frames=random.normal(size=(total, 1, 2, 3)).astype(np.float32),
        present=random.random((total, 1)) < 0.5,
        offsets=np.concatenate([[0], np.cumsum(LENGTHS)]),
        scalars={"begin": random.random(n).astype(np.float32)},
    )
    cache.frames.flags.writeable = cache.present.flags.writeable = False  # as memory-mapped
    return cache


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("residency", ["auto", "host", "device"])
def test_a_batch_equals_slicing_by_hand(residency: str) -> None:
    cache = hand_made([0, 1, 2, 0, 1, 2])
    rows = [4, 0, 0, 3]
    batch = ResidentData({"body": cache}, CPU, residency).batch(np.array(rows), labels=True)
    ragged = batch.skeletons["body"]
    assert ragged.offsets.tolist() == [0, 5, 8, 11, 12]
    for i, row in enumerate(rows):
        ours = slice(int(ragged.offsets[i]), int(ragged.offsets[i + 1]))
        theirs = slice(cache.offsets[row], cache.offsets[row + 1])
        assert np.array_equal(ragged.frames[ours].numpy(), cache.frames[theirs])
        assert np.array_equal(ragged.present[ours].numpy(), cache.present[theirs])
        assert ragged.length[i] == 10 * LENGTHS[row]
        assert ragged.scalars["begin"][i] == cache.scalars["begin"][row]


def test_columns_follow_the_rows() -> None:
    cache = hand_made([0, 1, 2, 0, 1, 2])
    batch = ResidentData({"body": cache}, CPU).batch(np.array([5, 1]), labels=True)
    assert batch.id == ["f", "b"] and all(type(name) is str for name in batch.id)
    assert batch.index.tolist() == [5, 1]
    assert batch.key.tolist() == [key_of("f"), key_of("b")]
    expected = {"label": [2, 1], "subject": [5, 1], "camera": [1, 1], "setup": [-1, -1]}
    assert {name: getattr(batch, name).tolist() for name in expected} == expected
    assert batch.fps.dtype == torch.float32 and batch.fps.tolist() == [30, 30]


def test_labels_only_where_asked_for_and_known() -> None:
    data = ResidentData({"body": hand_made([0, 1, -1, 0, 1, 2])}, CPU)
    assert data.batch(np.array([0, 1]), labels=False).label is None
    assert data.batch(np.array([0, 2]), labels=True).label is None
    assert data.batch(np.array([0, 1]), labels=True).label.tolist() == [0, 1]


def test_host_frames_are_not_copied() -> None:
    cache = hand_made([0] * 6)
    field = ResidentData({"body": cache}, CPU, "host").fields["body"]
    assert field.of_frames["frames"].data_ptr() == cache.frames.ctypes.data
    assert field.of_frames["present"].data_ptr() == cache.present.ctypes.data


def test_the_parts_of_a_step_make_up_its_batch() -> None:
    data = ResidentData({"body": hand_made([0] * 6)}, CPU)

    def steps(parts: int) -> list[list[list[int]]]:
        sampling = Sampling(rows=np.arange(6), seed=3, batch=5, last="pad", parts=parts)
        assert sampling.steps == 2
        return [[b.index.tolist() for b in step] for step in ResidentLoader(data, sampling)(1)]

    whole, divided = steps(1), steps(3)
    assert [[len(part) for part in step] for step in divided] == [[2, 2, 1], [1]]
    assert [[*chain(*step)] for step in divided] == [step[0] for step in whole]


def test_caches_of_other_recordings_are_refused() -> None:
    caches = {"a": hand_made([0] * 6), "b": hand_made([0] * 6, ids="abcdeg")}
    with pytest.raises(DataError, match=r"cache cache \(b\) holds other recordings: delete it"):
        ResidentData(caches, CPU)
