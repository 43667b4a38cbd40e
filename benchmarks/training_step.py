"""What the platform adds to SkeletonCLR's training step: `python benchmarks/training_step.py`.

Prints samples per second of the bare loop (forward, backward, SGD, queue on ready tensors) and of
the platform's step (counter-based draws, augmentations, figures, checks), measured alternately in
one process, and their ratio. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from tqdm.auto import tqdm

from skelray.datasets.ntu.dataset import NTU60
from skelray.methods.crossclr.skeletonclr import SkeletonCLR, SkeletonCLRConfig
from skelray.platform.estimate import made_up_batch
from skelray.platform.method import DataSpec, Draws, Progress
from skelray.platform.skeleton.specs import KINECT_V2
from skelray.platform.training.step import Stepper

PROGRESS = Progress(phase="pretrain", epoch=0, epochs=1, step=0, step_in_epoch=0, steps_per_epoch=1)


def seconds(run: Callable[[], object]) -> float:
    """Wall time of one call."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def main() -> None:
    """Measures both and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--precision", choices=("float32", "bf16"), default="float32")
    given = parser.parse_args()

    config = SkeletonCLRConfig(queue=4096, batch=given.batch, precision=given.precision)
    method = SkeletonCLR(config, DataSpec(skeleton=KINECT_V2, persons=2, coordinates=3))
    phase = method.phases()[0]
    stepper = Stepper(method, phase, seed=0, device=torch.device("cpu"), ddp=False)
    batch = made_up_batch(method, NTU60, phase.name, given.batch)
    views = method.views(batch, Draws(0, 0, batch.key), PROGRESS)
    optimiser = torch.optim.SGD(
        [p for p in method.parameters() if p.requires_grad], lr=0.1, momentum=0.9
    )

    def bare() -> None:
        method.before_step(PROGRESS)
        optimiser.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=given.precision == "bf16"):
            step = method(views, PROGRESS)
        step.loss.backward()
        optimiser.step()
        method.after_step(step.carry, PROGRESS)

    def platform() -> None:
        stepper.run([batch], PROGRESS)

    bare(), platform()  # warm
    times: dict[str, list[float]] = {"bare": [], "platform": []}
    for _ in tqdm(range(given.steps), unit=" pairs"):
        times["bare"].append(seconds(bare))
        times["platform"].append(seconds(platform))
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, median in medians.items():
        print(f"{name:10s} {given.batch / median:8.1f} samples/s  {1000 * median:8.1f} ms a step")
    print(f"platform / bare: {medians['bare'] / medians['platform']:.3f} of the samples per second")


if __name__ == "__main__":
    main()
