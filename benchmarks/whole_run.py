"""The whole job against a bare loop, and its start: `python benchmarks/whole_run.py`.

`experiments/run.py skeletonclr synthetic` trains for minutes, through Ray Train, with augmentation,
checkpoints, reports and MLflow. Its samples per second, all between its epochs included, are
compared with those of a loop that does nothing but index the same recordings, augment, step and
enqueue: epoch by epoch in turn, while all processes of the other are stopped. Both train on all
cores but one, which the driver and Ray's own processes have for themselves, and then on all, which
they share. Beside it: how long the command takes to its first training step, and how long a
method's contract takes to import. Nothing else should run meanwhile.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import measure
import psutil
import torch
from tqdm.auto import tqdm

ROOT = Path(__file__).resolve().parent.parent
COMMAND = (sys.executable, "experiments/run.py", "skeletonclr", "synthetic")
SETTINGS = ("data.size=small", "evaluation.baselines=false", "evaluation.pictures=false")
IMPORT = "import skelray.platform.method, sys; sys.exit('ray' in sys.modules)"


def bare_epoch(settings: tuple[str, ...], threads: int) -> Callable[[], object]:
    """An epoch of the plainest loop over the prepared recordings."""
    from skelray.platform.config import resolve
    from skelray.platform.data.loading import ResidentData
    from skelray.platform.data.source import Source
    from skelray.platform.method import Draws, Progress
    from skelray.platform.training.allocation import keep_freed_memory
    from skelray.platform.training.build import build_method

    keep_freed_memory()
    torch.set_num_threads(threads)
    config = resolve("skeletonclr", "synthetic", settings)
    source = Source.open(config.data)
    method = build_method(config, source.spec)
    phase = method.phases()[0]
    caches = source.caches(method.inputs(phase.name))
    rows = source.rows(next(iter(caches.values())).index, "train")
    data = ResidentData(caches, torch.device("cpu"), "host")
    learnt = [p for p in method.parameters() if p.requires_grad]
    optimiser = torch.optim.SGD(learnt, lr=0.05, momentum=0.9, weight_decay=1e-4)
    steps = len(rows) // phase.batch
    now = Progress(
        phase=phase.name, epoch=0, epochs=1, step=0, step_in_epoch=0, steps_per_epoch=steps
    )

    def epoch() -> None:
        for chosen in torch.randperm(len(rows))[: steps * phase.batch].split(phase.batch):
            batch = data.batch(rows[chosen.numpy()], labels=False)
            views = method.views(batch, Draws(0, 0, batch.key), now)
            method.before_step(now)
            optimiser.zero_grad()
            step = method(views, now)
            step.loss.backward()
            optimiser.step()
            method.after_step(step.carry, now)

    return epoch


class Run:
    """One run of the command, trained from the start."""

    def __init__(self, home: Path, *settings: str) -> None:
        self.home, self.began = home, time.time()
        self.output = (home / "output").open("w")
        self.process = psutil.Popen(
            [*COMMAND, *SETTINGS, *settings], cwd=ROOT, stdout=self.output, stderr=self.output
        )

    def first_step(self) -> float:
        """Seconds from the command to the end of its first training step, which says so."""
        self._until(lambda: json.loads(self._text("status.json") or "{}").get("step"))
        return time.time() - self.began

    def epochs(self, number: int) -> list[dict[str, Any]]:
        """What the run has written of its epochs, once it is so many."""
        self._until(lambda: self._text("metrics.jsonl").count("\n") >= number)
        return [json.loads(line) for line in self._text("metrics.jsonl").splitlines()]

    def end(self) -> None:
        """Waits for its end."""
        if self.process.wait():
            sys.exit((self.home / "output").read_text())

    @contextmanager
    def held(self) -> Iterator[None]:
        """All its processes, those of Ray among them, do nothing meanwhile."""
        processes = [self.process, *self.process.children(recursive=True)]
        try:
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.suspend()
            yield
        finally:
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.resume()

    def _until(self, condition: Callable[[], object]) -> None:
        while not condition():
            if self.process.poll() is not None:
                sys.exit((self.home / "output").read_text())
            time.sleep(0.01)

    def _text(self, name: str) -> str:
        files = [f for f in self.home.glob(f"runs/*/{name}") if f.stat().st_mtime > self.began]
        return files[0].read_text() if files else ""


def whole_to_bare(home: Path, threads: int, epochs: int) -> tuple[float, float]:
    """The job's samples per second to the bare loop's, by turns; seconds to its first step."""
    job: list[float] = []
    with measure.Contestant("bare loop", partial(bare_epoch, SETTINGS, threads)) as bare:
        bare()
        run = Run(
            home, f"method.epochs={epochs + 2}", f"training.threads={threads}", f"seed={threads}"
        )
        first_step = run.first_step()
        loop, paused = [], 0.0
        for number in tqdm(range(2, epochs + 2), unit=" epochs"):
            before, last = (epoch["time"] for epoch in run.epochs(number)[-2:])
            job.append(last - before - paused)
            began = time.time()
            with run.held():
                loop.append(bare())
            paused = time.time() - began
        written = run.epochs(epochs + 2)
    run.end()
    samples = written[0]["metrics"]["train/samples_seen"]
    waits = [epoch["metrics"]["time/data_wait_pct"] for epoch in written[1:]]
    print(f"{threads} threads, {epochs} epochs each, by turns")
    print(f"  bare loop        {samples / statistics.median(loop):6.1f} samples/s")
    print(f"  the whole job    {samples / statistics.median(job):6.1f} samples/s")
    print(f"  waiting for data {statistics.median(waits):6.2f} % of the time")
    return statistics.median(loop) / statistics.median(job), first_step


def main() -> None:
    """Measures and prints."""
    parser = measure.parser(__doc__)
    parser.add_argument("--epochs", type=int, default=16)
    given = parser.parse_args()
    cores = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        os.environ.update(SKELRAY_HOME=folder, PYTHONPATH=os.fspath(ROOT))
        first = Run(home, "method.epochs=1", "seed=0")
        unprepared = first.first_step()
        first.end()
        beside, _ = whole_to_bare(home, max(1, cores - 1), given.epochs)
        within, first_step = whole_to_bare(home, cores, given.epochs)
        imported = statistics.median(
            measure.seconds(lambda: subprocess.run([sys.executable, "-c", IMPORT], check=True))
            for _ in range(5)
        )
    print(f"first step after {first_step:.1f} s; with preparing the data {unprepared:.1f} s")
    print(f"import of skelray.platform.method {imported:.1f} s, without Ray")
    measure.conclude(
        given,
        {
            "the whole job / bare loop, a core left to Ray": beside,
            "the whole job / bare loop, on all cores": within,
        },
    )


if __name__ == "__main__":
    main()
