"""A million short sequences: `python benchmarks/many_sequences.py [--sequences 10000]`.

Sequences of 8 frames take the whole way: prepared into a store, preprocessed into a cache, split by
a protocol, iterated for an epoch from memory-mapped files and for one through Ray Data. After each
stage stand its time and the driver's memory: private, resident (with the pages of mapped files,
which the system may drop at any time), and the most that was ever resident.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import torch

from skelray.platform.cluster import connected
from skelray.platform.data import caching
from skelray.platform.data.loading import ResidentData, ResidentLoader, Sampling
from skelray.platform.data.prepare import prepare
from skelray.platform.data.source import Source
from skelray.platform.data.streaming import StreamingLoader
from skelray.platform.dataset import Dataset, Discovery, Protocol, RawItem, SkeletonSample
from skelray.platform.method.batch import Batch
from skelray.platform.preprocessing import Preprocessing
from skelray.platform.skeleton.specs import COCO

FRAMES = 8
PER_FILE = 1000  # sequences
SUBJECTS = 40
BATCH = 1024
CPU = torch.device("cpu")


class ShortSequences(Dataset):
    """Files `NUMBER.seed`, from each of which `PER_FILE` sequences of 2D poses are made."""

    name = "short_sequences"
    skeleton = COCO
    persons = 1
    classes = ("left", "right")
    licence = "made up"
    protocols = (
        Protocol(
            "xsub",
            "subject",
            train=frozenset(range(0, SUBJECTS, 2)),
            holdout=frozenset(range(0, SUBJECTS, 10)),
        ),
    )

    def discover(self, raw: Path) -> Discovery:
        return Discovery([RawItem(path.stem, str(path)) for path in sorted(raw.glob("*.seed"))])

    def read(self, item: RawItem) -> Iterator[SkeletonSample]:
        number = int(Path(item.path).stem)
        random = np.random.default_rng(number)
        shape = (PER_FILE, FRAMES, self.skeleton.n_joints, 2)
        pixels = 500 + 10 * random.standard_normal(shape, dtype=np.float32).cumsum(axis=1)
        frame_bodies = np.ones(FRAMES, dtype=np.int32)
        for position, xyz in enumerate(pixels):
            yield SkeletonSample(
                id=f"{number:05d}-{position:03d}",
                frame_bodies=frame_bodies,
                xyz=xyz,
                label=position % 2,
                subject=(number + position) % SUBJECTS,
                fps=30.0,
            )


class Stages:
    """Prints what each stage took and where the driver's memory stands after it."""

    def __init__(self) -> None:
        self.began = time.perf_counter()

    def done(self, stage: str, remark: str = "") -> None:
        took = time.perf_counter() - self.began
        now = psutil.Process().memory_info()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(
            f"{stage:24s} {took:7.1f} s   driver: private {(now.rss - now.shared) / 1e6:5.0f} MB, "
            f"resident {now.rss / 1e6:5.0f} MB, peak so far {peak / 1e6:5.0f} MB   {remark}",
            flush=True,
        )
        self.began = time.perf_counter()


def on_disk(folder: Path) -> str:
    """The size of a folder's files."""
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return f"{size / 1e9:.2f} GB on disk"


def iterate(loader: Callable[[int], Iterator[list[Batch]]], stages: Stages, stage: str) -> None:
    """Goes through one epoch."""
    sizes = [sum(len(batch.id) for batch in step) for step in loader(0)]
    stages.done(stage, f"{sum(sizes)} sequences in {len(sizes)} batches")


def main() -> None:
    """Runs all stages and prints a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=int, default=1_000_000, help="in steps of 1000")
    given = parser.parse_args()

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        os.environ["SKELRAY_HOME"] = temporary
        (folder / "raw").mkdir()
        for number in range(given.sequences // PER_FILE):
            (folder / "raw" / f"{number:05d}.seed").touch()
        run(folder)


def run(folder: Path) -> None:
    """All stages below an empty SKELRAY_HOME."""
    stages = Stages()
    with connected():
        stages.done("Ray is up")
        store = prepare(ShortSequences, folder / "raw", folder / "store")
        stages.done(
            "prepared (store)", f"{store.manifest['samples']} sequences, {on_disk(store.path)}"
        )
        preprocessing = Preprocessing(name="pose_2d", parameters={"persons": 1})
        cache = caching.build(store, ShortSequences, preprocessing)
        stages.done("preprocessed and listed", f"{len(cache)} sequences, {on_disk(cache.path)}")
        source = Source(ShortSequences, ShortSequences.protocol("xsub"), store)
        train = source.rows(cache.index, "train")
        test = source.rows(cache.index, "test")
        stages.done("split", f"{len(train)} train, {len(test)} test")
        sampling = Sampling(rows=train, seed=0, batch=BATCH, last="drop", labels=True)
        resident = ResidentLoader(ResidentData({"skeleton": cache}, CPU, "host"), sampling)
        iterate(resident, stages, "epoch, memory-mapped")
        iterate(StreamingLoader({"skeleton": cache}, sampling, CPU), stages, "epoch, Ray Data")


if __name__ == "__main__":
    main()
