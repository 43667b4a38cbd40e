"""UmURL's four views of a batch, against the usual loader: `python benchmarks/views.py`.

The usual way augments one recording after the other, as its feeder does: an array (3, 300, 25, 2)
is cut, resized by torch, then sheared or spoilt in NumPy; the batch is stacked. skelray makes the
views of all recordings at once, draws included. Both on one core. Recordings have 40 to 140
frames, as NTU RGB+D's.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

import measure
import numpy as np
import torch
from torch.nn.functional import interpolate

FRAMES, JOINTS, VIEWS = 64, 25, 4


def recordings(count: int) -> list[np.ndarray]:
    """Made-up ones, (T, M, V, C)."""
    generator = np.random.default_rng(0)
    sizes = generator.integers(40, 141, size=count)
    return [generator.normal(size=(n, 2, JOINTS, 3)).astype(np.float32) for n in sizes]


def cropped(recording: np.ndarray, frames: int) -> np.ndarray:
    """A random stretch of the first `frames` of (C, T, V, M), resized along time."""
    share = 0.1 + 0.9 * np.random.rand()
    count = min(max(int(frames * share), FRAMES), frames)
    start = np.random.randint(0, frames - count + 1)
    stretch = torch.tensor(recording[:, start : start + count], dtype=torch.float)
    flat = stretch.permute(0, 2, 3, 1).reshape(1, -1, count, 1)
    flat = interpolate(flat, size=(FRAMES, 1), mode="bilinear", align_corners=False)
    return flat.view(3, JOINTS, 2, FRAMES).permute(0, 3, 1, 2).contiguous().numpy()


def spoilt(x: np.ndarray) -> np.ndarray:
    """One of three: all joints sheared, 15 mixed, 15 at the origin."""
    out = x.copy()
    if random.random() < 0.5:
        shear = np.eye(3)
        shear[~np.eye(3, dtype=bool)] = np.random.uniform(-1, 1, 6)
        return np.dot(out.transpose(1, 2, 3, 0), shear.T).transpose(3, 0, 1, 2)
    joints = np.random.choice(JOINTS, 15, replace=False)
    if random.random() < 0.5:
        out[:, :, joints] = 0
        return out
    mixed = np.dot(out[:, :, joints].transpose(1, 2, 3, 0), np.random.uniform(-1, 1, (3, 3)))
    out[:, :, joints] = mixed.transpose(3, 0, 1, 2)
    return out


def one_by_one(count: int) -> Callable[[], object]:
    """The usual way; padding to 300 frames is done before, as in the usual files."""
    torch.set_num_threads(1)
    stored = np.zeros((count, 3, 300, JOINTS, 2), dtype=np.float32)
    sizes = []
    for row, frames in enumerate(recordings(count)):
        stored[row, :, : len(frames)] = frames.transpose(3, 0, 2, 1)
        sizes.append(len(frames))

    def views() -> object:
        made = [
            [spoilt(cropped(one, n)).astype(np.float32) for _ in range(VIEWS)]
            for one, n in zip(stored, sizes, strict=True)
        ]
        return [torch.from_numpy(np.stack(view)) for view in zip(*made, strict=True)]

    return views


def at_once(count: int) -> Callable[[], object]:
    """All recordings and views in one."""
    from skelray.methods.umurl.umurl import UmURL, UmURLConfig
    from skelray.platform.method import Batch, DataSpec, Draws, Progress, Ragged, key_of
    from skelray.platform.skeleton.specs import KINECT_V2
    from skelray.platform.training.allocation import keep_freed_memory

    keep_freed_memory()
    torch.set_num_threads(1)
    config = UmURLConfig(dim=2, projection_dim=2)  # the network has no part in it
    method = UmURL(config, DataSpec(skeleton=KINECT_V2, persons=2, coordinates=3))
    frames = [torch.from_numpy(each) for each in recordings(count)]
    sizes = torch.tensor([len(each) for each in frames])
    ragged = Ragged(
        frames=torch.cat(frames),
        offsets=torch.cat([torch.zeros(1, dtype=torch.int64), sizes.cumsum(0)]),
        present=torch.ones(int(sizes.sum()), 2, dtype=torch.bool),
        length=sizes,
    )
    names = [f"made up {row}" for row in range(count)]
    batch = Batch(
        index=torch.arange(count),
        id=names,
        key=torch.tensor([key_of(name) for name in names]),
        skeletons={"skeleton": ragged},
    )
    now = Progress(phase="pretrain", epoch=0, epochs=1, step=0, step_in_epoch=0, steps_per_epoch=1)
    return lambda: method.views(batch, Draws(0, 0, batch.key), now)


def main() -> None:
    """Measures and prints."""
    parser = measure.parser(__doc__)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    ways = {"one by one": one_by_one, "skelray": at_once}
    contestants = {name: partial(way, given.batch) for name, way in ways.items()}
    medians = measure.compete(contestants, given.rounds)
    for name, median in medians.items():
        print(f"  {name:12s} {1000 * median:8.1f} ms for {VIEWS} views of {given.batch}")
    measure.conclude(given, {"four views": medians["one by one"] / medians["skelray"]})


if __name__ == "__main__":
    main()
