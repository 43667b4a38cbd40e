"""SV-data2vec's step, against its FLOPs: `python benchmarks/video_step.py`.

Needs neither Ray nor data. Variants of the published network take turns, each in a process of its
own: float32, bf16, bf16 with channels last, recomputed activations, only the kept frames encoded,
and compiled. For each: clips per second, the share of the device's measured peak that the FLOPs of
a plain step make, and the memory that a further clip of the batch takes. The frames may be smaller
than the published 224 pixels: nearly all FLOPs and activations are of the frames' ResNet, so that
they go with the area.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import measure
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from skelray.datasets.pyskl.dataset import NTU60HRNet
from skelray.methods.svdata2vec.config import SVData2vecConfig
from skelray.methods.svdata2vec.svdata2vec import SVData2vec
from skelray.platform.estimate import made_up_batch
from skelray.platform.method import DataSpec, Progress
from skelray.platform.skeleton.specs import COCO
from skelray.platform.training.allocation import keep_freed_memory
from skelray.platform.training.step import Stepper

TYPES = {"float32": torch.float32, "bf16": torch.bfloat16}
NOW = Progress(phase="pretrain", epoch=0, epochs=1, step=0, step_in_epoch=0, steps_per_epoch=1)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """How a step is made."""

    precision: str = "float32"
    frames: str = "all"  # encode_frames
    recompute: bool = False
    channels_last: bool = False
    compile: bool = False


VARIANTS = {
    "float32": Variant(),
    "bf16": Variant(precision="bf16"),
    "bf16, channels last": Variant(precision="bf16", channels_last=True),
    "bf16, compiled": Variant(precision="bf16", compile=True),
    "float32, recomputed": Variant(recompute=True),
    "float32, kept frames alone": Variant(frames="kept"),
}


def step_of(variant: Variant, device: str, size: int, batch: int) -> Callable[[], object]:
    """A step of the published network on made-up clips."""
    if device == "cpu":
        keep_freed_memory()
    return plain_step_of(variant, device, size, batch)


def plain_step_of(variant: Variant, device: str, size: int, batch: int) -> Callable[[], object]:
    """The same, of a process whose memory is allocated as everywhere."""
    config = SVData2vecConfig(
        batch=batch,
        size=size,
        resized=size * 8 // 7,
        precision=variant.precision,
        encode_frames=variant.frames,
        checkpoint_activations=variant.recompute,
    )
    method = SVData2vec(config, DataSpec(skeleton=COCO, persons=2, coordinates=2))
    method.to(device)
    if variant.channels_last:
        stages = method.video.resnet.stages
        stages.to(memory_format=torch.channels_last)
        stages[0].register_forward_pre_hook(_last)
    if variant.compile:
        for name in method.encoders:
            method.get_submodule(name).compile()
    stepper = Stepper(method, method.phases()[0], seed=0, device=torch.device(device), ddp=False)
    made_up = made_up_batch(method, NTU60HRNet, "pretrain", batch)
    clips = replace(made_up, label=None).to(torch.device(device))

    def step() -> None:
        stepper.run([clips], NOW)["train/loss"].item()  # waits for the device

    return step


def _last(module: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    return (inputs[0].contiguous(memory_format=torch.channels_last),)


def memory(variant: Variant, device: str, size: int, batch: int, file: Path) -> Callable[[], None]:
    """Writes how many bytes its first step takes beside what was there before."""
    ctypes.CDLL(None).mallopt(-3, 2**16)  # M_MMAP_THRESHOLD: what is freed is given back at once
    step = plain_step_of(variant, device, size, batch)

    def measured() -> None:
        before = _peak(device)
        step()
        file.write_text(str(_peak(device) - before))

    return measured


def a_clip(variant: Variant, device: str, size: int, batch: int) -> float:
    """Bytes that a further clip of a batch takes."""
    found = []
    with TemporaryDirectory() as folder:
        file = Path(folder) / "bytes"
        for clips in (batch, 2 * batch):
            build = partial(memory, variant, device, size, clips, file)
            with measure.Contestant("memory", build) as one:
                one()
            found.append(int(file.read_text()))
    return (found[1] - found[0]) / batch


def _peak(device: str) -> int:
    if device == "cpu":
        # of this program alone: what `resource` says begins with the size of the parent
        lines = Path("/proc/self/status").read_text().splitlines()
        (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
        return int(peak) * 1024
    return torch.cuda.max_memory_allocated()


def flops(size: int, batch: int) -> int:
    """Of a plain step, counted operator by operator."""
    step = step_of(Variant(), "cpu", size, batch)
    with FlopCounterMode(display=False) as counted:
        step()
    return counted.get_total_flops()


def product(precision: str, device: str) -> Callable[[], object]:
    """A product of large matrices: what the device can do at most."""
    side = 8192 if device == "cuda" else 2048
    a = torch.randn(side, side, device=device, dtype=TYPES[precision])
    return lambda: (a @ a)[0, 0].item()


def main() -> None:
    """Measures and prints."""
    parser = measure.parser(__doc__)
    parser.add_argument("--size", type=int, default=112, help="pixels of a frame's side")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS)
    given = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    size, batch = given.size, given.batch
    chosen = {name: VARIANTS[name] for name in given.variants}
    contestants = {
        name: partial(step_of, variant, device, size, batch) for name, variant in chosen.items()
    }
    peaks = {f"peak {precision}": partial(product, precision, device) for precision in TYPES}
    medians = measure.compete({**contestants, **peaks}, given.rounds)
    side = 8192 if device == "cuda" else 2048
    needed = flops(size, batch)
    print(
        f"{batch} clips of 40 frames, {size} x {size} pixels; {needed / batch / 1e9:.0f} GFLOP each"
    )
    for name, variant in chosen.items():
        bound = needed * medians[f"peak {variant.precision}"] / (2 * side**3)
        print(
            f"  {name:28s} {batch / medians[name]:7.2f} clips/s  "
            f"{bound / medians[name]:5.0%} of the bound  "
            f"{a_clip(variant, device, size, batch) / 2**20:6.0f} MiB a clip"
        )
    first = next(iter(chosen))
    ratios = {f"{name} / {first}": medians[first] / medians[name] for name in chosen}
    measure.conclude(given, ratios)


if __name__ == "__main__":
    main()
