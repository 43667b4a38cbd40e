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
from multiprocessing.connection import Connection
from pathlib import Path

from tqdm.auto import tqdm

Build = Callable[[], Callable[[], object]]  # makes everything ready and returns what is timed


def compete(contestants: Mapping[str, Build], rounds: int, *, warm: int = 2) -> dict[str, float]:
    """Median seconds of a call by contestant, after `warm` calls of each that do not count."""
    context = multiprocessing.get_context("spawn")
    processes: dict[str, tuple[multiprocessing.process.BaseProcess, Connection]] = {}
    for name, build in contestants.items():
        here, there = context.Pipe()
        process = context.Process(target=_serve, args=(build, there), daemon=False)
        process.start()
        there.close()  # else the end of the process would not be noticed
        processes[name] = process, here
    times: dict[str, list[float]] = {name: [] for name in contestants}
    try:
        for number in tqdm(range(warm + rounds), unit=" rounds"):
            for name, (_, connection) in processes.items():
                connection.send("call")
                took = _answer(connection)
                if isinstance(took, str):
                    sys.exit(f"{name} has failed:\n{took}")
                if number >= warm:
                    times[name].append(took)
    finally:
        for process, connection in processes.values():
            connection.close()
            process.join()
    return {name: statistics.median(values) for name, values in times.items()}


def _answer(connection: Connection) -> float | str:
    try:
        answer: float | str = connection.recv()
        return answer
    except EOFError:
        return "its process was killed"


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
