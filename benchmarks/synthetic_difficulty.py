"""How hard the data set `synthetic` is: `python benchmarks/synthetic_difficulty.py`.

Prints top-1 of the nearest neighbour on raw coordinates (every frame centred on the joint between
the shoulders, 50 frames, Euclidean) across subjects and views, and of an encoder trained with all
labels on the part `train` and measured once, after its last epoch, on `test`. Low and high: the
actions are there to be learnt, but not by comparing poses. At most 15 minutes on two cores.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from tqdm.auto import tqdm

from skelray.platform import cluster, runner
from skelray.platform.augment.temporal import temporal_crop
from skelray.platform.config import DataConfig
from skelray.platform.data import caching
from skelray.platform.data.source import Source
from skelray.platform.nn.stgcn import STGCN
from skelray.platform.preprocessing import Preprocessing
from skelray.platform.skeleton.graph import adjacency
from skelray.platform.skeleton.specs import KINECT_V2

RAW = {"frames": 50, "centre": "shoulders", "align": "none"}
ENCODED = {"frames": 32, "centre": "root", "align": "sequence"}  # as SkeletonCLR's preset `small`
BATCH, RATE, WEIGHT_DECAY, SMOOTHING = 32, 2e-3, 0.01, 0.1
TURN = math.pi / 4  # radians to either side: the largest turn about the vertical


@dataclass(frozen=True)
class Part:
    """The recordings that train or test."""

    x: Tensor  # (N, C, T, V, M)
    label: Tensor  # (N,)


def parts(source: Source, parameters: dict[str, object]) -> tuple[Part, Part]:
    """Train and test."""
    preprocessing = Preprocessing(name="body_centred", parameters=parameters)
    cache = caching.build(source.store, source.dataset, preprocessing)
    frames = torch.tensor(cache.frames).unflatten(0, (len(cache), -1)).permute(0, 4, 1, 3, 2)
    label = torch.tensor(cache.index["label"])
    train, test = (source.rows(cache.index, "train"), source.rows(cache.index, "test"))
    return Part(frames[train], label[train]), Part(frames[test], label[test])


def percent(predicted: Tensor, label: Tensor) -> float:
    """Top-1."""
    return 100.0 * float((predicted == label).double().mean())


def nearest_neighbour(train: Part, test: Part) -> float:
    """Top-1 of the label of the nearest recording that trains."""
    distance = torch.cdist(test.x.flatten(1), train.x.flatten(1))
    return percent(train.label[distance.argmin(dim=1)], test.label)


class Classifier(nn.Module):
    """ST-GCN over the bodies that are there, their mean, a linear layer."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.encoder = STGCN(graph=adjacency(KINECT_V2), dropout=0.0)
        self.head = nn.Linear(self.encoder.feature_dim, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes) of (N, C, T, V, M)."""
        bodies = x.movedim(-1, 1).flatten(0, 1)  # (N M, C, T, V)
        there = bodies.flatten(1).any(dim=1)
        sample = torch.arange(len(x)).repeat_interleave(x.shape[-1])[there]
        features = self.encoder(bodies[there][..., None])
        total = features.new_zeros(len(x), features.shape[1]).index_add(0, sample, features)
        count = torch.bincount(sample, minlength=len(x)).clamp(min=1)
        logits: Tensor = self.head(total / count[:, None])
        return logits


def augmented(x: Tensor) -> Tensor:
    """Turned about the vertical and cropped in time at random, each recording by itself."""
    angle = ((2 * torch.rand(len(x)) - 1) * TURN).view(-1, 1, 1, 1)
    across, up, depth = x.unbind(dim=1)
    cosine, sine = angle.cos(), angle.sin()
    turned = torch.stack([cosine * across - sine * depth, up, sine * across + cosine * depth], 1)
    padding = x.shape[2] // 6
    return temporal_crop(turned, torch.randint(2 * padding + 1, (len(x),)), padding)


def supervised(train: Part, test: Part, classes: int, epochs: int) -> float:
    """Top-1 after the last epoch."""
    torch.manual_seed(0)
    model = Classifier(classes)
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=WEIGHT_DECAY)
    steps = len(train.x) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=epochs * steps)
    for _ in tqdm(range(epochs), unit=" epochs"):
        for rows in torch.randperm(len(train.x))[: steps * BATCH].split(BATCH):
            with torch.autocast("cpu", torch.bfloat16):
                logits = model(augmented(train.x[rows]))
            loss = cross_entropy(logits.float(), train.label[rows], label_smoothing=SMOOTHING)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    model.eval()
    with torch.no_grad():
        predicted = torch.cat([model(x).argmax(dim=1) for x in test.x.split(BATCH)])
    return percent(predicted, test.label)


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="full", help="small, full, or such as 20-subjects")
    parser.add_argument("--protocol", nargs="*", default=["xview"], help="of the encoder")
    parser.add_argument("--epochs", type=int, default=20)
    given = parser.parse_args()

    began = time.perf_counter()
    print(f"{'protocol':10s} {'train':>6s} {'test':>6s} {'1-NN raw':>9s} {'supervised':>11s}")
    for protocol in ("xsub", "xview"):
        with cluster.connected():
            source = runner.open_source(
                DataConfig(dataset="synthetic", protocol=protocol, size=given.size)
            )
            raw, encoded = parts(source, RAW), parts(source, ENCODED)
        line = (
            f"{protocol:10s} {len(raw[0].x):6d} {len(raw[1].x):6d} {nearest_neighbour(*raw):9.1f}"
        )
        if protocol in given.protocol:
            top1 = supervised(*encoded, len(source.dataset.classes), given.epochs)
            line += f" {top1:11.1f}"
        print(line, flush=True)
    print(f"{(time.perf_counter() - began) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
