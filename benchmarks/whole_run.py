"""The whole job against a bare loop, and its start: `python benchmarks/whole_run.py`.

`experiments/run.py skeletonclr synthetic` trains for minutes, through Ray Train, with augmentation,
checkpoints, reports and MLflow. Its samples per second, from the end of the first epoch to that of
the last, are compared with a loop that does nothing but index the same recordings, augment, step
and enqueue, run before and after it. Beside it: how long the command takes to its first training
step, and how long a method's contract takes to import. Nothing else should run meanwhile.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import measure
import torch

ROOT = Path(__file__).resolve().parent.parent
COMMAND = (sys.executable, "experiments/run.py", "skeletonclr", "synthetic")
SETTINGS = ("data.size=small", "evaluation.baselines=false", "evaluation.pictures=false")
IMPORT = "import skelray.platform.method, sys; sys.exit('ray' in sys.modules)"


def bare_epoch(settings: tuple[str, ...]) -> Callable[[], object]:
    """An epoch of the plainest loop over the prepared recordings."""
    from skelray.platform.config import resolve
    from skelray.platform.data.loading import ResidentData
    from skelray.platform.data.source import Source
    from skelray.platform.method import Draws, Progress
    from skelray.platform.training.allocation import keep_freed_memory
    from skelray.platform.training.build import build_method

    keep_freed_memory()
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
    """One run of the command in an empty or prepared SKELRAY_HOME."""

    def __init__(self, home: Path, *settings: str) -> None:
        began = time.time()
        with (home / "output").open("w") as output:
            process = subprocess.Popen(
                [*COMMAND, *SETTINGS, *settings], cwd=ROOT, stdout=output, stderr=output
            )
            self.first_step = self._first_step(home, began, process)
            if process.wait():
                sys.exit((home / "output").read_text())
        (file,) = self._files(home, "metrics.jsonl", began)
        self.epochs = [json.loads(line) for line in file.read_text().splitlines()]

    @staticmethod
    def _files(home: Path, name: str, began: float) -> list[Path]:
        return [f for f in home.glob(f"runs/*/{name}") if f.stat().st_mtime > began]

    def _first_step(self, home: Path, began: float, process: subprocess.Popen[bytes]) -> float:
        """Seconds to the end of the first training step, which writes the run's status."""
        while process.poll() is None:
            for file in self._files(home, "status.json", began):
                if json.loads(file.read_text())["step"]:
                    return time.time() - began
            time.sleep(0.05)
        sys.exit((home / "output").read_text())

    @property
    def samples_per_s(self) -> float:
        """After the first epoch, all between the epochs included."""
        first, last = self.epochs[0], self.epochs[-1]
        samples = last["metrics"]["train/samples_seen"] - first["metrics"]["train/samples_seen"]
        return float(samples / (last["time"] - first["time"]))

    @property
    def data_wait_pct(self) -> float:
        """Median over the epochs."""
        return statistics.median(e["metrics"]["time/data_wait_pct"] for e in self.epochs[1:])


def main() -> None:
    """Measures and prints."""
    parser = measure.parser(__doc__)
    parser.add_argument("--epochs", type=int, default=50)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        os.environ.update(SKELRAY_HOME=folder, PYTHONPATH=os.fspath(ROOT))
        unprepared = Run(home, "method.epochs=1", "seed=1").first_step
        loop = {"bare": partial(bare_epoch, SETTINGS)}
        rounds = max(2, given.epochs // 4)
        before = measure.compete(loop, rounds)["bare"]
        run = Run(home, f"method.epochs={given.epochs}")
        after = measure.compete(loop, rounds)["bare"]
        samples = run.epochs[0]["metrics"]["train/samples_seen"]
        imported = statistics.median(
            measure.seconds(lambda: subprocess.run([sys.executable, "-c", IMPORT], check=True))
            for _ in range(5)
        )
    print(f"bare loop before  {samples / before:6.1f} samples/s")
    print(f"the whole job     {run.samples_per_s:6.1f} samples/s, {given.epochs} epochs")
    print(f"bare loop after   {samples / after:6.1f} samples/s")
    print(f"waiting for data  {run.data_wait_pct:6.2f} % of the time")
    print(f"first step after  {run.first_step:6.1f} s; with preparing the data {unprepared:.1f} s")
    print(f"import of skelray.platform.method {imported:.1f} s, without Ray")
    bare = samples / statistics.mean((before, after))
    measure.conclude(given, {"the whole job / bare loop": run.samples_per_s / bare})


if __name__ == "__main__":
    main()
