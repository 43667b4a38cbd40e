"""Which samples form which batch: a permutation per epoch, equal for every number of workers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch

from skelray.platform.errors import UsageError
from skelray.platform.method.draws import Draws, key_of


def epoch_permutation(count: int, *, seed: int, epoch: int) -> np.ndarray:
    """A permutation of `count` positions, a pure function of run seed and epoch."""
    one = torch.tensor([key_of("order")])
    return Draws(seed, epoch, one).permutation("order", count)[0].numpy()


def steps_per_epoch(count: int, batch: int, last: Literal["drop", "pad"]) -> int:
    """Batches of an epoch; UsageError where incomplete ones are dropped and none is full."""
    if last == "drop" and count < batch:
        raise UsageError(
            f"the global batch of {batch} is larger than the {count} training samples: "
            "lower the phase's batch"
        )
    return count // batch if last == "drop" else -(-count // batch)


def batches(
    rows: np.ndarray,
    *,
    seed: int,
    epoch: int,
    batch: int,
    last: Literal["drop", "pad"],
    rank: int = 0,
    world: int = 1,
) -> Iterator[np.ndarray]:
    """This rank's rows of each global batch: equal contiguous slices, in order over the ranks.

    `drop` leaves out the incomplete last batch; `pad` fills it to a multiple of `world` with the
    epoch's first samples, so that at most world - 1 samples occur twice.
    """
    if batch % world:
        raise UsageError(f"the global batch of {batch} does not divide by {world} workers")
    ordered = rows[epoch_permutation(len(rows), seed=seed, epoch=epoch)]
    for step in range(steps_per_epoch(len(rows), batch, last)):
        whole = ordered[step * batch : (step + 1) * batch]
        if missing := -len(whole) % world:
            whole = np.concatenate([whole, np.resize(ordered, missing)])
        share = len(whole) // world
        yield whole[rank * share : (rank + 1) * share]
