"""Feeds damaged files to every reader until the time is up: `python -m tests.fuzz.campaign`.

A reader may return recordings that fit their data set, or refuse with a DataError of one line that
names the file. Everything else is a finding: another exception, a crash of the process, more than
ten seconds, memory beyond what the file's size explains. Findings are kept with the damaged file.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

from skelray.platform.data.store import check_sample
from skelray.platform.errors import DataError
from tests.fuzz.mutations import mutate
from tests.fuzz.targets import TARGETS, Target

_SECONDS = 10  # that one file may take
_MEMORY = 2**29  # bytes that reading files of at most 1 MiB may add
_BATCH = 200  # files a process reads before the next one starts


class Finding(Exception):
    """A reader did what it must not do."""


def read_all(target: Target, raw: Path) -> int:
    """Reads a raw folder as `prepare` does; returns the number of whole recordings."""
    dataset = target.dataset
    whole = 0
    try:
        items = dataset().discover(raw).items
    except DataError as error:  # one file that holds or describes all recordings
        _check_message(str(error), raw, target.name)
        return 0
    for item in items:
        try:
            for sample in dataset().read(item):
                check_sample(sample, dataset)
                whole += 1
        except DataError as error:
            _check_message(str(error), raw, item.id)
    return whole


def _check_message(message: str, raw: Path, name: str) -> None:
    if "\n" in message or len(message) > 2000:
        raise Finding(f"the message is not one line: {message!r}")
    if str(raw) not in message and name not in message:
        raise Finding(f"the message names neither file nor recording: {message!r}")


def fuzz(target: Target, seed: int, count: int, findings: Path) -> Counter[str]:
    """Reads `count` damaged folders of one target; findings are stored with their traceback."""
    tally: Counter[str] = Counter()
    for number in range(seed, seed + count):
        rng = random.Random(number)
        with tempfile.TemporaryDirectory() as folder:
            raw = Path(folder) / "raw"
            damaged = target.write(raw)
            name = rng.choice(damaged)
            content, other = (raw / name).read_bytes(), (raw / rng.choice(damaged)).read_bytes()
            (raw / name).write_bytes(mutate(content, other, rng))
            kept = findings / f"{target.name}-{number}"
            shutil.copytree(raw, kept)  # stays if the process dies
            try:
                tally["read" if _watched(target, raw) else "refused"] += 1
            except Exception:
                (kept / "traceback.txt").write_text(traceback.format_exc())
                tally["found"] += 1
                continue
            shutil.rmtree(kept)
    return tally


def _watched(target: Target, raw: Path) -> int:
    """`read_all` under a limit of time and memory."""

    def too_long(*_: object) -> None:
        raise Finding(f"took more than {_SECONDS} s")

    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(_SECONDS)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        whole = read_all(target, raw)
    finally:
        signal.alarm(0)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    if grown > _MEMORY:
        raise Finding(f"took {grown / 2**20:.0f} MiB")
    return whole


def _work(name: str, seed: int, findings: Path, answers: multiprocessing.Queue[object]) -> None:
    answers.put(fuzz(TARGETS[name], seed, _BATCH, findings))


def campaign(minutes: float, seed: int, findings: Path) -> Counter[str]:
    """Takes the targets in turn, each batch in a process of its own, until the time is up."""
    findings.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("fork")
    total: Counter[str] = Counter()
    end = time.monotonic() + 60 * minutes
    while time.monotonic() < end:
        for name in TARGETS:
            answers = context.Queue()
            process = context.Process(target=_work, args=(name, seed, findings, answers))
            process.start()
            process.join(_BATCH * _SECONDS)
            if process.exitcode:
                total[f"{name}: process died"] += 1
            else:
                total.update({f"{name}: {key}": n for key, n in answers.get().items()})
        seed += _BATCH
        print(f"\r{sum(total.values()):,} files", end="", file=sys.stderr, flush=True)
    return total


def main() -> None:
    """Command line; exit status 1 where something was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--findings", type=Path, default=Path("/tmp/skelray-fuzz"))
    given = parser.parse_args()
    total = campaign(given.minutes, given.seed, given.findings)
    print(file=sys.stderr)
    for name, count in sorted(total.items()):
        print(f"{name}: {count:,}")
    if any(given.findings.iterdir()):
        sys.exit(f"findings in {given.findings}")


if __name__ == "__main__":
    main()
