"""How fast recordings become a store: `python benchmarks/prepare.py`.

First the parser of `.skeleton` files against one that reads line by line and number by number, on
one core, both keeping every field of the store. Then the whole of `prepare` (discovery, parsing,
checks, Parquet, through Ray Data) on one core and on several, and the memory of its processes for a
set and for one four times as large. Recordings are generated; larger sets link the same files under
other names. Nothing else should run meanwhile: each line says how busy other programs were.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
from measure import conclude
from measure import parser as parser_of
from tqdm.auto import tqdm

from skelray.datasets.ntu.parser import SkeletonFile, parse_skeleton
from skelray.datasets.synthetic.dataset import Synthetic
from skelray.platform.cluster import connected
from skelray.platform.data.prepare import prepare

MB = 1e6


def line_by_line(path: Path) -> SkeletonFile:
    """A float at a time, as readers of NTU are usually written.

    Follows LinguoLi/CrosSCLR (tools/utils/ntu_read_skeleton.py), but keeps what the store keeps.
    """
    frame_bodies, body_id, header, joints = [], [], [], []
    with path.open() as file:
        for _ in range(int(file.readline())):
            frame_bodies.append(int(file.readline()))
            for _ in range(frame_bodies[-1]):
                first, *others = file.readline().split()
                body_id.append(int(first))
                header.append([float(number) for number in others])
                for _ in range(int(file.readline())):
                    joints.append([float(number) for number in file.readline().split()])
    numbers = np.array(joints, dtype=np.float32).reshape(len(body_id), -1, 12)
    return SkeletonFile(
        frame_bodies=np.array(frame_bodies, dtype=np.int32),
        xyz=np.ascontiguousarray(numbers[..., :3]),
        body_id=np.array(body_id, dtype=np.int64),
        body_header=np.array(header, dtype=np.float32),
        joint_state=numbers[..., 11].astype(np.int8),
        color_xy=np.ascontiguousarray(numbers[..., 5:7]),
    )


def ours(path: Path) -> SkeletonFile:
    """The project's parser."""
    return parse_skeleton(path.read_bytes(), os.fspath(path))


def cpu_seconds(read: Callable[[Path], SkeletonFile], files: Sequence[Path]) -> float:
    """CPU time of reading all files, which lie in the system's cache."""
    began = time.process_time()
    for path in files:
        read(path)
    return time.process_time() - began


def compare_parsers(files: Sequence[Path], rounds: int) -> float:
    """Reads the same files with both in turn and prints the fastest round of each; their ratio."""
    for path in files:
        for name, expected in line_by_line(path)._asdict().items():
            np.testing.assert_array_equal(getattr(ours(path), name), expected, strict=True)
    times: dict[str, list[float]] = {"line by line": [], "ours": []}
    for _ in tqdm(range(rounds), unit=" rounds"):
        times["line by line"].append(cpu_seconds(line_by_line, files))
        times["ours"].append(cpu_seconds(ours, files))
    size = sum(path.stat().st_size for path in files)
    for name, measured in times.items():
        each = min(measured) / len(files)
        print(f"{name:14s} {1000 * each:7.2f} ms a file  {size / min(measured) / MB:7.1f} MB/s")
    print()
    return min(times["line by line"]) / min(times["ours"])


class Measured(NamedTuple):
    """One run of `prepare`."""

    recordings: int
    seconds: float
    cpu_seconds: float  # of all processes, the driver's and Ray's
    others: float  # CPU seconds that the rest of the machine took meanwhile
    driver: int  # bytes, the most at any time
    worker: int  # bytes, the most that any worker had at any time


class Watch:
    """Samples resident memory and CPU time of this process and of all that it has started."""

    def __init__(self) -> None:
        self.driver = self.worker = 0
        self._cpu: dict[int, float] = {}
        self._cpu_before: dict[int, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Watch:
        self._sample()
        self._cpu_before = dict(self._cpu)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def cpu_seconds(self) -> float:
        """User and system time of all processes since the watch began."""
        return sum(time - self._cpu_before.get(pid, 0.0) for pid, time in self._cpu.items())

    def _watch(self) -> None:
        while not self._stop.wait(0.1):
            self._sample()
        self._sample()

    def _sample(self) -> None:
        driver = psutil.Process()
        self.driver = max(self.driver, driver.memory_info().rss)
        for process in (driver, *driver.children(recursive=True)):
            try:
                self._cpu[process.pid] = sum(process.cpu_times()[:2])
                if process.name().startswith("ray::"):
                    self.worker = max(self.worker, process.memory_info().rss)
            except psutil.NoSuchProcess:
                continue


def measure(cores: Sequence[int], raw: Path, warm: Path) -> Measured:
    """Prepares `raw` in a Ray of its own that may use these cores, once its workers are up."""
    os.sched_setaffinity(0, cores)  # everything that is started from here inherits it
    with tempfile.TemporaryDirectory() as folder, connected():
        prepare(Synthetic, warm, Path(folder) / "warm")
        with Watch() as watch:
            began, busy = time.perf_counter(), busy_seconds()
            store = prepare(Synthetic, raw, Path(folder) / "store")
            took, busy = time.perf_counter() - began, busy_seconds() - busy
        assert not store.manifest["skipped"]
        return Measured(
            recordings=store.manifest["samples"],
            seconds=took,
            cpu_seconds=watch.cpu_seconds,
            others=max(0.0, busy - watch.cpu_seconds),
            driver=watch.driver,
            worker=watch.worker,
        )


def busy_seconds() -> float:
    """CPU time that anything on this machine has used since it was started."""
    times = psutil.cpu_times()
    return sum(times) - times.idle - times.iowait


def measured(cores: Sequence[int], raw: Path, warm: Path) -> Measured:
    """`measure` in a new process, printed."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        result = pool.submit(measure, cores, raw, warm).result()
    print(
        f"{len(cores):2d} cores  {result.recordings:6d} recordings  {result.seconds:7.2f} s  "
        f"{result.recordings / result.seconds:7.1f} recordings/s  "
        f"{1000 * result.cpu_seconds / result.recordings:5.1f} ms CPU a recording  "
        f"(other programs: {result.others / result.seconds:.1f} cores)  "
        f"most memory: driver {result.driver / MB:.0f} MB, worker {result.worker / MB:.0f} MB",
        flush=True,
    )
    return result


def linked(folder: Path, files: Sequence[Path], count: int) -> Path:
    """A raw folder of `count` recordings: the files again and again, as other replications."""
    folder.mkdir()
    for number, source in zip(range(count), itertools.cycle(files), strict=False):
        before, after = source.name.split("R", 1)
        (folder / f"{before}R{1 + number // len(files):03d}{after[3:]}").hardlink_to(source)
    return folder


def main() -> None:
    """Measures and prints."""
    parser = parser_of(__doc__)
    parser.add_argument("--recordings", type=int, default=2048, help="of the larger set")
    parser.add_argument("--rounds", type=int, default=10, help="of the two parsers")
    given = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        Synthetic().generate(folder / "generated", size="tiny", seed=0)
        files = sorted((folder / "generated").glob("*.skeleton"))
        parsing = compare_parsers(files, given.rounds)

        warm = linked(folder / "warm", files, 16 * len(cores))
        small = linked(folder / "small", files, given.recordings // 4)
        large = linked(folder / "large", files, given.recordings)
        few = measured(cores, small, warm)
        many = measured(cores, large, warm)
        one = measured(cores[:1], large, warm)
    print(
        f"memory for 4 times the recordings: driver {many.driver / few.driver:.2f} times, "
        f"worker {many.worker / few.worker:.2f} times"
    )
    conclude(
        given,
        {
            "parsing, times line by line": parsing,
            f"recordings/s on {len(cores)} cores, times one": one.seconds / many.seconds,
        },
    )


if __name__ == "__main__":
    main()
