"""A skeleton method's step on one device, against its roofline: `python benchmarks/device_step.py`.

Needs neither Ray nor data. SkeletonCLR's, or another's: `dim=512 --method umurl --batch 16`, with
settings of the method. For each precision, compiled or not: samples per second, the FLOPs and bytes
of a step (counted operator by operator, as they are called: compiled graphs move less), how long a
device at its measured peak would take for them (the longer of arithmetic and memory), the share of
that in the time taken, and the operators that take longest.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode
from training_step import clips

from skelray.datasets.ntu.dataset import NTU60
from skelray.platform.estimate import made_up_batch
from skelray.platform.method import DataSpec, Progress
from skelray.platform.registry import load_method
from skelray.platform.skeleton.specs import KINECT_V2
from skelray.platform.training.allocation import keep_freed_memory
from skelray.platform.training.step import Stepper

TYPES = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Bytes(TorchDispatchMode):
    """Sums what operators read and write; views move nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.moved = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if not func.is_view and "empty" not in str(func):
            tensors = tree_leaves((args, kwargs, result))
            self.moved += sum(
                t.untyped_storage().nbytes() if 0 in t.stride() else t.numel() * t.element_size()
                for t in tensors
                if isinstance(t, Tensor)
            )
        return result


class Device:
    """A device and what it can do at most."""

    def __init__(self, name: str) -> None:
        self.device = torch.device(name)
        if name == "cpu":
            keep_freed_memory()
        big = torch.randn(64 * 2**20, device=self.device)
        self.bandwidth = 2 * big.nbytes / self.median(lambda: big.clone(), 10)

    def median(self, call: Callable[[], object], rounds: int) -> float:
        """Seconds of a call, the device's work included."""
        times = []
        for number in range(2 + rounds):
            began = time.perf_counter()
            call()
            if self.device.type == "cuda":
                torch.cuda.synchronize()
            if number >= 2:
                times.append(time.perf_counter() - began)
        return statistics.median(times)

    def flops(self, kind: torch.dtype) -> float:
        """A second, in a product of large matrices."""
        size = 8192 if self.device.type == "cuda" else 2048
        a = torch.randn(size, size, device=self.device, dtype=kind)
        return 2 * size**3 / self.median(lambda: a @ a, 10)


def step_of(device: Device, given: argparse.Namespace, precision: str) -> Stepper:
    """A stepper with a new network."""
    kind = load_method(given.method)
    settings = dict(setting.split("=", 1) for setting in given.settings)
    config = kind.Config(batch=given.batch, precision=precision, **settings)
    method = kind(config, DataSpec(skeleton=KINECT_V2, persons=2, coordinates=3))
    method.to(device.device)
    return Stepper(method, method.phases()[0], seed=0, device=device.device, ddp=False)


def measured(device: Device, given: argparse.Namespace) -> Iterator[str]:
    """The lines of the report."""
    yield f"{device.bandwidth / 1e9:.0f} GB/s copying"
    for precision in given.precisions:
        peak = device.flops(TYPES[precision])
        yield f"\n{precision}: {peak / 1e12:.2f} TFLOP/s in a product of large matrices"
        for compiled in (False, True) if given.compile else (False,):
            stepper = step_of(device, given, precision)
            if compiled:
                for name in stepper.method.encoders:
                    stepper.method.get_submodule(name).compile()
            yield from report(device, stepper, given, peak, compiled=compiled)


def report(
    device: Device, stepper: Stepper, given: argparse.Namespace, peak: float, *, compiled: bool
) -> Iterator[str]:
    """Of one stepper."""
    phase = stepper.phase
    made_up = made_up_batch(stepper.method, NTU60, phase.name, given.batch)
    ((field, ragged),) = made_up.skeletons.items()
    frames = clips(given.batch, len(ragged.frames) // given.batch)
    frames = frames.permute(0, 2, 4, 3, 1).flatten(0, 1).contiguous()
    batch = replace(made_up, skeletons={field: replace(ragged, frames=frames)}).to(device.device)
    progress = Progress(
        phase=phase.name, epoch=0, epochs=1, step=0, step_in_epoch=0, steps_per_epoch=1
    )

    def step() -> None:
        stepper.run([batch], progress)

    took = device.median(step, given.steps)
    yield (
        f"{'compiled' if compiled else 'as called':10s} {1000 * took:8.1f} ms a step  "
        f"{given.batch / took:8.1f} samples/s"
    )
    if compiled:  # counters see only what is called
        return
    with FlopCounterMode(display=False) as flops, Bytes() as moved:
        step()
    arithmetic, memory = flops.get_total_flops() / peak, moved.moved / device.bandwidth
    yield (
        f"{flops.get_total_flops() / 1e9:.0f} GFLOP: {1000 * arithmetic:.1f} ms at the peak; "
        f"{moved.moved / 1e9:.1f} GB: {1000 * memory:.1f} ms at the bandwidth; "
        f"roofline {100 * max(arithmetic, memory) / took:.0f} % of the time taken"
    )
    yield from longest(step, device.device.type, given.operators)


def longest(step: Callable[[], None], kind: str, count: int) -> Iterator[str]:
    """The operators, or on a GPU the kernels, with most time of their own."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if kind == "cuda" else [])]
    with profile(activities=activities, acc_events=True) as profiled:
        step()
    time_of = "self_device_time_total" if kind == "cuda" else "self_cpu_time_total"
    own = {event.key: getattr(event, time_of) for event in profiled.key_averages()}
    for key in sorted(own, key=lambda key: -own[key])[:count]:
        yield f"  {100 * own[key] / sum(own.values()):5.1f} %  {key[:80]}"


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("settings", nargs="*", help="of the method, as frames=50")
    parser.add_argument("--method", default="skeletonclr")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--operators", type=int, default=8)
    parser.add_argument("--precisions", nargs="+", default=["float32", "bf16"], choices=TYPES)
    parser.add_argument("--compile", action="store_true", help="with torch.compile too")
    given = parser.parse_args()
    for line in measured(Device(given.device), given):
        print(line, flush=True)


if __name__ == "__main__":
    main()
