"""Small methods that strain the contract, and batches for them; importable in spawned processes."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.functional import normalize

from skelray.platform import distributed
from skelray.platform.data.loading import Sampling
from skelray.platform.method import (
    Batch,
    ClipSpec,
    DataSpec,
    Draws,
    Inputs,
    Method,
    MethodConfig,
    Phase,
    Progress,
    Ragged,
    Step,
    Views,
    key_of,
)
from skelray.platform.nn.momentum import freeze, momentum_update
from skelray.platform.nn.queue import FeatureQueue
from skelray.platform.optim import Optimiser, Schedule
from skelray.platform.preprocessing import Preprocessing
from skelray.platform.skeleton.specs import KINECT_V1
from skelray.platform.training.loop import Loop

FRAMES = 6
SAMPLES = 22
DATA = DataSpec(skeleton=KINECT_V1, persons=1, coordinates=3, classes=4)
OPTIMISER = Optimiser(lr=0.05, momentum=0.9, weight_decay=1e-3)


class ToyConfig(MethodConfig):
    """Settings of every toy."""

    epochs: int = 3
    batch: int = 8
    width: int = 8


class Toy(Method):
    """What the toys share: an encoder with BatchNorm and dropout over flattened skeletons."""

    Config = ToyConfig
    config: ToyConfig

    def __init__(self, config: ToyConfig, data: DataSpec) -> None:
        super().__init__(config, data)
        self.outputs = {"joint": config.width}
        self.encoders = ("encoder",)
        self.encoder = self.make_encoder()

    def make_encoder(self) -> nn.Sequential:
        joints = FRAMES * self.data.skeleton.n_joints * self.data.coordinates
        return nn.Sequential(
            nn.Flatten(),
            nn.Linear(joints, self.config.width),
            nn.BatchNorm1d(self.config.width),
            nn.Tanh(),
            nn.Linear(self.config.width, self.config.width),
        )

    def inputs(self, use: str) -> Inputs:
        parameters = {"persons": 1, "frames": FRAMES, "align": "none"}
        return Inputs(
            skeletons={"skeleton": Preprocessing(name="body_centred", parameters=parameters)}
        )

    def phases(self) -> Sequence[Phase]:
        return [Phase(epochs=self.config.epochs, batch=self.config.batch, optimiser=OPTIMISER)]

    def views(self, batch: Batch, draws: Draws, progress: Progress) -> Views:
        x = batch.skeletons["skeleton"].dense()
        return {name: x + 0.1 * draws.normal(name, *x.shape[1:]) for name in ("a", "b")}

    def eval_views(self, batch: Batch, output: str, draws: Draws | None = None) -> Views:
        return {output: batch.skeletons["skeleton"].dense()}

    def features(self, views: Views, names: Sequence[str]) -> dict[str, Tensor]:
        return {name: self.encoder(views[name]) for name in names}


class QueueToy(Toy):
    """A teacher, a queue and dropout-free contrast: state that must not differ between ranks."""

    def __init__(self, config: ToyConfig, data: DataSpec) -> None:
        super().__init__(config, data)
        self.teacher = freeze(self.make_encoder())
        self.queue = FeatureQueue(13, config.width)  # no multiple of the batch

    def before_step(self, progress: Progress) -> None:
        momentum_update(self.encoder, self.teacher, 0.9)

    def forward(self, views: Views, progress: Progress) -> Step:
        query = normalize(self.encoder(views["a"]), dim=1)
        with torch.no_grad():
            key = normalize(self.teacher(views["b"]), dim=1)
        logits = torch.cat([(query * key).sum(1, keepdim=True), query @ self.queue.features.T], 1)
        loss = nn.functional.cross_entropy(logits / 0.2, torch.zeros(len(query), dtype=torch.int64))
        return Step(loss=loss, terms={"contrast": loss}, carry={"key": key})

    def after_step(self, carry: Mapping[str, Tensor], progress: Progress) -> None:
        assert len(carry["key"]) % self.config.batch == 0
        self.queue.enqueue(carry["key"])


class GatherToy(Toy):
    """A covariance over the global batch, through the differentiable gather."""

    couples_batch = True

    def forward(self, views: Views, progress: Progress) -> Step:
        a, b = (distributed.gather_with_gradient(self.encoder(views[name])) for name in "ab")
        centred = a - a.mean(0)
        covariance = centred.T @ centred / len(a)
        loss = (a - b).square().mean() + (covariance - torch.eye(len(covariance))).square().mean()
        return Step(loss=loss)


class PhasesToy(Toy):
    """Three phases: the encoder alone, then a frozen encoder with a head on labels, then both."""

    def __init__(self, config: ToyConfig, data: DataSpec) -> None:
        super().__init__(config, data)
        self.head = nn.Linear(config.width, data.classes or 1)

    def phases(self) -> Sequence[Phase]:
        def phase(name: str, **changes: Any) -> Phase:
            return Phase(
                name=name, epochs=2, batch=self.config.batch, optimiser=OPTIMISER, **changes
            )

        cosine = Schedule(name="cosine", per="step")
        return [
            phase("encoder", trainable=("encoder",), clip_norm=0.5),
            phase("head", trainable=("head",), eval_mode=("encoder",), labels=True),
            phase("both", labels=True, schedule=cosine, last="pad"),
        ]

    def forward(self, views: Views, progress: Progress) -> Step:
        if progress.phase == "encoder":
            a, b = self.encoder(views["a"]), self.encoder(views["b"])
            return Step(loss=(a - b).square().mean() + (a.norm(dim=1) - 1).square().mean())
        logits = self.head(self.encoder(views["a"]))
        return Step(loss=nn.functional.cross_entropy(logits, views["label"]))

    def views(self, batch: Batch, draws: Draws, progress: Progress) -> Views:
        views = super().views(batch, draws, progress)
        if progress.phase == "encoder":
            assert batch.label is None, "a phase without labels must not see them"
            return views
        assert batch.label is not None
        return {**views, "label": batch.label}


class ClipToy(Toy):
    """Reads a clip beside the skeleton."""

    clip = ClipSpec(frames=2, size=4)

    def __init__(self, config: ToyConfig, data: DataSpec) -> None:
        super().__init__(config, data)
        self.video = nn.Linear(2 * 4 * 4 * 3, config.width)

    def inputs(self, use: str) -> Inputs:
        return Inputs(skeletons=super().inputs(use).skeletons, clip=self.clip)

    def views(self, batch: Batch, draws: Draws, progress: Progress) -> Views:
        assert batch.clip is not None and batch.clip_ok is not None
        clip = batch.clip.permute(0, 4, 1, 2, 3).float() / 255
        return {**super().views(batch, draws, progress), "clip": clip, "ok": batch.clip_ok}

    def forward(self, views: Views, progress: Progress) -> Step:
        difference = self.encoder(views["a"]) - self.video(views["clip"].flatten(1))
        weight = views["ok"].float()[:, None]
        return Step(loss=(weight * difference.square()).mean(), figures={"ok": weight.mean()})


TOYS: Mapping[str, type[Toy]] = {
    "queue": QueueToy,
    "gather": GatherToy,
    "phases": PhasesToy,
    "clip": ClipToy,
}


def toy_batch(rows: np.ndarray, *, labels: bool) -> Batch:
    """Samples made from their row alone."""
    clips = []
    frames = []
    for row in rows:
        generator = torch.Generator().manual_seed(int(row))
        frames.append(torch.randn(FRAMES, 1, 20, 3, generator=generator))
        clips.append(torch.randint(0, 256, (2, 4, 4, 3), generator=generator, dtype=torch.uint8))
    return Batch(
        index=torch.from_numpy(rows),
        id=[f"toy{row}" for row in rows],
        key=torch.tensor([key_of(f"toy{row}") for row in rows]),
        skeletons={
            "skeleton": Ragged(
                frames=torch.cat(frames),
                offsets=torch.arange(len(rows) + 1) * FRAMES,
                present=torch.ones(len(rows) * FRAMES, 1, dtype=torch.bool),
                length=torch.full((len(rows),), FRAMES),
            )
        },
        label=torch.from_numpy(rows % 4) if labels else None,
        clip=torch.stack(clips),
        clip_ok=torch.from_numpy(rows % 5 > 0),
    )


def toy_loop(name: str, folder: Path, **changes: Any) -> Loop:
    """The loop of a toy on this rank, with its initial weights."""
    torch.manual_seed(0)
    method = TOYS[name](ToyConfig(), DATA)
    parts = changes.get("accumulate", 1)

    def loader(phase: Phase) -> tuple[Callable[[int, int], Iterator[list[Batch]]], int]:
        sampling = Sampling(
            rows=np.arange(SAMPLES),
            seed=1,
            batch=phase.batch,
            last=phase.last,
            rank=distributed.rank(),
            world=distributed.world_size(),
            labels=phase.labels,
            parts=parts,
        )

        def epoch(number: int, first: int) -> Iterator[list[Batch]]:
            for rows in sampling.epoch(number, first):
                yield [toy_batch(part, labels=phase.labels) for part in rows]

        return epoch, sampling.steps

    return Loop(
        method=method, folder=folder, seed=0, loader=loader, about={"name": name}, **changes
    )


def final_state(loop: Loop) -> dict[str, Tensor]:
    """Runs a loop to its end; its last checkpoint's tensors."""
    state: dict[str, Tensor] = loop.run().load()["method"]
    return state


def on_ranks(world: int, function: Callable[..., None], *arguments: Any) -> None:
    """Runs `function(*arguments)` in `world` gloo processes."""
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(
            _rank, args=(world, f"{folder}/rendezvous", function, arguments), nprocs=world
        )


def _rank(
    rank: int, world: int, file: str, function: Callable[..., None], arguments: Sequence[Any]
) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=world)
    try:
        function(*arguments)
    finally:
        dist.destroy_process_group()
    # DDP lets go of the group late: at times its threads abort a Python that is ending
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def train_toys(names: Sequence[str], folder: Path) -> None:
    """Trains toys one after the other; for spawned ranks."""
    for name in names:
        toy_loop(name, folder / name).run()
