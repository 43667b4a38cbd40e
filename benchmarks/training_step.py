"""SkeletonCLR's step against a plain research script: `python benchmarks/training_step.py`.

The script (benchmarks/reference.py) steps on tensors that are ready; with `--input` it also reads
its samples from a DataLoader of two worker processes, as it would. skelray makes its views within
the step; its bare step (forward, backward, SGD, queue on ready views) shows what is spent around.
One in five recordings has two persons, as in NTU RGB+D. Nothing else should run meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import measure
import numpy as np
import torch
from torch import Tensor

PAIRS = 5  # of so many recordings one has two persons


def clips(count: int, frames: int = 50) -> Tensor:
    """Made-up clips (N, 3, T, 25, 2) that move as people do: smoothly, and often alone."""
    torch.manual_seed(0)
    steps = 0.05 * torch.randn(count, 3, frames, 25, 2)
    x = torch.randn(count, 3, 1, 25, 2) + steps.cumsum(2)
    x[torch.arange(count) % PAIRS > 0, ..., 1] = 0.0
    return x


def script(batch: int, dropout: float, precision: str, *, reads: bool) -> Callable[[], object]:
    """One step of the research script."""
    from reference import SkeletonCLRScript, loader

    from skelray.platform.skeleton.graph import adjacency
    from skelray.platform.skeleton.specs import KINECT_V2

    program = SkeletonCLRScript(adjacency(KINECT_V2), queue=4096, dropout=dropout)
    data = clips(batch)
    steps = endless(partial(loader, np.tile(data.numpy(), (20, 1, 1, 1, 1)), batch))

    def step() -> None:
        views = next(steps) if reads else (data, data.clone())
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            program.step(*views)

    return step


def endless(load: Callable[[], object]) -> Iterator[tuple[Tensor, Tensor]]:
    """Epoch after epoch."""
    while True:
        yield from load()  # type: ignore[attr-defined]


def skelray(
    batch: int, name: str = "skeletonclr", *, bare: bool = False, **settings: Any
) -> Callable[[], object]:
    """One step with all that a training worker does in it, or only what no loop can do without."""
    from skelray.datasets.ntu.dataset import NTU60
    from skelray.platform.estimate import made_up_batch
    from skelray.platform.method import DataSpec, Draws, Progress
    from skelray.platform.registry import load_method
    from skelray.platform.skeleton.specs import KINECT_V2
    from skelray.platform.training.allocation import keep_freed_memory
    from skelray.platform.training.step import Stepper

    keep_freed_memory()
    kind = load_method(name)
    config = kind.Config(**{"queue": 4096, "batch": batch, **settings})
    method = kind(config, DataSpec(skeleton=KINECT_V2, persons=2, coordinates=3))
    phase = method.phases()[0]
    progress = Progress(
        phase=phase.name, epoch=0, epochs=1, step=0, step_in_epoch=0, steps_per_epoch=1
    )
    stepper = Stepper(method, phase, seed=0, device=torch.device("cpu"), ddp=False)
    made_up = made_up_batch(method, NTU60, phase.name, batch)
    ((field, ragged),) = made_up.skeletons.items()
    frames = clips(batch).permute(0, 2, 4, 3, 1).flatten(0, 1).contiguous()
    ready = replace(made_up, skeletons={field: replace(ragged, frames=frames)})
    views = method.views(ready, Draws(0, 0, ready.key), progress)

    def alone() -> None:
        method.before_step(progress)
        stepper.optimiser.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=phase.precision == "bf16"):
            step = method(views, progress)
        step.loss.backward()
        stepper.optimiser.step()
        method.after_step(step.carry, progress)

    return alone if bare else lambda: stepper.run([ready], progress)


def main() -> None:
    """Measures and prints the table and the ratios."""
    parser = measure.parser(__doc__)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--input", action="store_true", help="the script's DataLoader too")
    given = parser.parse_args()
    ratios = {}
    for dropout in (0.5, 0.0):  # the published setting, and that of `preset: small`
        settings = {"batch": given.batch, "dropout": dropout}
        contestants = {
            "script float32": partial(script, **settings, precision="float32", reads=False),
            "script bf16": partial(script, **settings, precision="bf16", reads=False),
            "skelray float32": partial(skelray, **settings, precision="float32"),
            "skelray bf16": partial(skelray, **settings, precision="bf16"),
            "skelray float32, bare": partial(skelray, **settings, precision="float32", bare=True),
        }
        if given.input:
            contestants["script float32, DataLoader"] = partial(
                script, **settings, precision="float32", reads=True
            )
        medians = measure.compete(contestants, given.rounds)
        print(f"dropout {dropout}")
        for name, median in medians.items():
            print(
                f"  {name:28s} {1000 * median:8.0f} ms a step {given.batch / median:8.1f} samples/s"
            )
        base = medians["script float32"]
        ratios |= {
            f"step float32, dropout {dropout}": base / medians["skelray float32"],
            f"step bf16 to script float32, dropout {dropout}": base / medians["skelray bf16"],
            f"step bf16, dropout {dropout}": medians["script bf16"] / medians["skelray bf16"],
            f"around the bare step, dropout {dropout}": medians["skelray float32, bare"]
            / medians["skelray float32"],
        }
        if given.input:
            whole = medians["script float32, DataLoader"]
            ratios[f"input and step float32, dropout {dropout}"] = (
                whole / medians["skelray float32"]
            )
    measure.conclude(given, ratios)


if __name__ == "__main__":
    main()
