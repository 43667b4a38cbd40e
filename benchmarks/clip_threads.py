"""What holds a second decoding thread back: `python benchmarks/clip_threads.py`.

Squares of 256 pixels are read as in benchmarks/clips.py, by one thread and by two, by one process
and by two, alternately in every round, beside a hash that needs nothing but a core. Two processes
share no interpreter: what they do not gain either is not its lock. CPU seconds tell apart work that
got slower (memory, cores that share units) from waiting.
"""

from __future__ import annotations

import hashlib
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import measure
import numpy as np
from clips import Film, chosen, made, pick

DATA = bytes(12_000_000)


def hashed(*_: object) -> None:
    """As long as a clip, without memory, files or Python."""
    hashlib.sha256(DATA).digest()


def timed(
    pool: Executor, work: Callable[..., object], films: list[Film], frames: list[np.ndarray]
) -> float:
    """Seconds until all films are done."""
    return measure.seconds(lambda: list(pool.map(work, films, frames)))


def main() -> None:
    """Measures and prints."""
    parser = measure.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    given = parser.parse_args()
    spawn = get_context("spawn")
    pools: dict[str, Executor] = {
        "thread": ThreadPoolExecutor(1),
        "threads": ThreadPoolExecutor(2),
        "process": ProcessPoolExecutor(1, mp_context=spawn),
        "processes": ProcessPoolExecutor(2, mp_context=spawn),
    }
    print("threads of one process, and processes; two against one, the others waiting meanwhile")
    with tempfile.TemporaryDirectory() as folder:
        films, _ = made(Path(folder))
        frames = chosen(films)
        works = {"clips": pick, "hash": hashed}
        wall = {(name, pool): list[float]() for name in works for pool in pools}
        cpu = {key: list[float]() for key in wall}
        for number in range(given.rounds + 1):
            for (name, pool), seconds in wall.items():
                began = time.process_time()
                took = timed(pools[pool], works[name], films, frames)
                if number:  # the first round opens libraries and processes
                    seconds.append(took)
                    cpu[name, pool].append(time.process_time() - began)
    for pool in pools.values():
        pool.shutdown()

    def gain(of: dict[tuple[str, str], list[float]], name: str, one: str, two: str) -> float:
        return statistics.median(a / b for a, b in zip(of[name, one], of[name, two], strict=True))

    busy = {
        pool: statistics.median(cpu["clips", pool]) / statistics.median(wall["clips", pool])
        for pool in ("thread", "threads")
    }
    measure.conclude(
        given,
        {
            "clips: two threads / one": gain(wall, "clips", "thread", "threads"),
            "clips: two processes / one": gain(wall, "clips", "process", "processes"),
            "hash: two threads / one": gain(wall, "hash", "thread", "threads"),
            "hash: two processes / one": gain(wall, "hash", "process", "processes"),
            "clips: CPU seconds of one thread / of two": gain(cpu, "clips", "thread", "threads"),
            "clips: cores busy, one thread": busy["thread"],
            "clips: cores busy, two threads": busy["threads"],
        },
    )


if __name__ == "__main__":
    main()
