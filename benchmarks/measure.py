"""How benchmarks measure: contestants in processes of their own, called in turn; ratios as JSON.

Contestants of `compete` run alternately, so that a slower hour of the machine falls on all alike,
and each in its own process, so that none profits from another's settings.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Self

from tqdm.auto import tqdm

Build = Callable[[], Callable[[], object]]  # makes everything ready and returns what is timed


class Contestant:
    """A process of its own that runs something timed whenever it is called; a context manager."""

    def __init__(self, name: str, build: Build) -> None:
        self.name = name
        context = multiprocessing.get_context("spawn")
        self._connection, there = context.Pipe()
        self._process = context.Process(target=_serve, args=(build, there), daemon=False)
        self._process.start()
        there.close()  # else the end of the process would not be noticed

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._process.join()

    def __call__(self) -> float:
        """Seconds of one call; ends the benchmark where it fails."""
        self._connection.send("call")
        try:
            took: float | str = self._connection.recv()
        except EOFError:
            took = "its process was killed"
        if isinstance(took, str):
            sys.exit(f"{self.name} has failed:\n{took}")
        return took


def compete(contestants: Mapping[str, Build], rounds: int, *, warm: int = 2) -> dict[str, float]:
    """Median seconds of a call by contestant, after `warm` calls of each that do not count."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    with ExitStack() as stack:
        ready = [stack.enter_context(Contestant(*given)) for given in contestants.items()]
        for number in tqdm(range(warm + rounds), unit=" rounds"):
            for contestant in ready:
                took = contestant()
                if number >= warm:
                    times[contestant.name].append(took)
    return {name: statistics.median(values) for name, values in times.items()}


def _serve(build: Build, connection: Connection) -> None:
    try:
        call = build()
        while True:
            connection.recv()
            connection.send(seconds(call))
    except EOFError:
        return
    except Exception:
        connection.send(traceback.format_exc())


def seconds(call: Callable[[], object]) -> float:
    """Wall time of one call."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def parser(description: str | None) -> argparse.ArgumentParser:
    """Arguments of every benchmark that measures ratios."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--ratios", type=Path, help="write the measured ratios there, as JSON")
    return made


def conclude(given: argparse.Namespace, ratios: Mapping[str, float]) -> None:
    """Prints the ratios, and writes them where `--ratios` says."""
    for name, ratio in ratios.items():
        print(f"{name}: {ratio:.3g}")
    if given.ratios is not None:
        given.ratios.write_text(json.dumps(ratios, indent=1), encoding="utf-8")
