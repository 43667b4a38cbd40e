"""Linear probe and nearest neighbours against the usual ways: `python benchmarks/probes.py`.

The probe: 100 epochs of the published recipe, once by running the frozen encoder in every epoch as
research scripts do (benchmarks/reference.py, the same weights), once by extracting features first.
Neighbours: against scikit-learn's brute force at its fastest (Euclidean on unit vectors, which
orders as cosine does), and the memory that a search of 60,000 among 60,000 takes. Nothing else
should run meanwhile.
"""

from __future__ import annotations

import multiprocessing
import statistics
from collections.abc import Callable
from pathlib import Path

import measure
import torch
from reference import Encoder
from sklearn.neighbors import NearestNeighbors
from torch import Tensor, nn
from tqdm.auto import tqdm
from training_step import clips

from skelray.platform.data.order import epoch_permutation
from skelray.platform.evaluation.knn import nearest
from skelray.platform.evaluation.labelled import Labelled
from skelray.platform.evaluation.linear import published_linear
from skelray.platform.method import EvalRecipe, key_of
from skelray.platform.nn.stgcn import STGCN
from skelray.platform.optim import Optimiser, Schedule
from skelray.platform.skeleton.graph import adjacency
from skelray.platform.skeleton.specs import KINECT_V2

CLASSES = 10
RECIPE = EvalRecipe(
    optimiser=Optimiser(lr=3.0, momentum=0.9),
    schedule=Schedule(name="steps", milestones=(80,)),
    epochs=100,
    batch=64,
    last="drop",
    test_every=5,
    head_std=0.02,
    source="LinguoLi/CrosSCLR",
)


class Recordings:
    """Clips of classes that differ in one direction, so that there is something to learn."""

    def __init__(self, train: int, test: int) -> None:
        x = clips(train + test)
        self.label = torch.arange(train + test) % CLASSES
        towards = torch.randn(CLASSES, *x.shape[1:], generator=torch.Generator().manual_seed(1))
        x = torch.where(x != 0, x + 0.5 * towards[self.label], x)
        self.train, self.test = x[:train], x[train:]
        self.train_label, self.test_label = self.label[:train], self.label[train:]


def encoder_every_epoch(encoder: Encoder, data: Recordings, epochs: int) -> float:
    """The research script's probe; top-1 on the test part in percent."""
    torch.manual_seed(key_of(0, "linear") & (2**63 - 1))
    head = nn.Linear(256, CLASSES)
    nn.init.normal_(head.weight, std=0.02)
    nn.init.zeros_(head.bias)
    optimiser = torch.optim.SGD(head.parameters(), lr=3.0, momentum=0.9)
    encoder.eval()
    for epoch in tqdm(range(epochs), unit=" epochs"):
        for group in optimiser.param_groups:
            group["lr"] = 3.0 if epoch < 80 else 0.3
        order = epoch_permutation(len(data.train), seed=key_of(0, "linear"), epoch=epoch)
        for rows in torch.from_numpy(order).split(RECIPE.batch):
            if len(rows) < RECIPE.batch:
                continue
            with torch.no_grad():
                features = encoder.features(data.train[rows])
            optimiser.zero_grad()
            loss = nn.functional.cross_entropy(head(features), data.train_label[rows])
            loss.backward()
            optimiser.step()
        if (epoch + 1) % RECIPE.test_every == 0:
            with torch.no_grad():
                found = head(extracted(encoder.features, data.test)).argmax(1)
    return 100.0 * float((found == data.test_label).double().mean())


def features_first(encoder: STGCN, data: Recordings) -> float:
    """Skelray's probe; top-1 on the test part in percent."""
    parts = []
    for x, label in ((data.train, data.train_label), (data.test, data.test_label)):
        features = extracted(encoder.eval(), x)
        parts.append(Labelled(features=features, label=label, subject=torch.zeros_like(label)))
    return published_linear(*parts, CLASSES, RECIPE, seed=0).top1


def extracted(encode: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Features of all clips."""
    with torch.no_grad():
        return torch.cat([encode(batch) for batch in x.split(RECIPE.batch)])


def same_weights(encoder: Encoder) -> STGCN:
    """Skelray's encoder with the script's weights."""
    ours = STGCN(graph=adjacency(KINECT_V2))
    state = {"adjacency": encoder.graph}
    for name, value in encoder.state_dict().items():
        if name.startswith("norm."):
            state[f"input_{name}"] = value
        elif name.startswith("edges."):
            state[f"blocks.{name.split('.')[1]}.graph.edge_importance"] = value
        elif name.startswith("blocks."):
            state[name.replace(".conv.", ".graph.conv.")] = value
    ours.load_state_dict(state)
    return ours


def probe(train: int, test: int) -> dict[str, float]:
    """Both probes, whole."""
    torch.manual_seed(0)
    script = Encoder(adjacency(KINECT_V2))
    data = Recordings(train, test)
    extracted(script.train().features, data.train)  # BatchNorm's statistics
    ours = same_weights(script)
    accuracy: dict[str, float] = {}
    slow = measure.seconds(
        lambda: accuracy.update(script=encoder_every_epoch(script, data, RECIPE.epochs))
    )
    fast = statistics.median(
        measure.seconds(lambda: accuracy.update(skelray=features_first(ours, data)))
        for _ in range(3)
    )
    print(f"probe of 100 epochs, {train} + {test} recordings")
    print(f"  encoder in every epoch  {slow:8.1f} s  top-1 {accuracy['script']:.1f}")
    print(f"  features first          {fast:8.1f} s  top-1 {accuracy['skelray']:.1f}")
    return {"linear probe, 100 epochs": slow / fast}


def neighbours(train: int, test: int, k: int, rounds: int) -> dict[str, float]:
    """The same search by both, in turn."""
    generator = torch.Generator().manual_seed(0)
    bank, queries = (torch.randn(n, 256, generator=generator) for n in (train, test))
    unit = [nn.functional.normalize(x, dim=1).numpy() for x in (bank, queries)]

    def library() -> None:
        search = NearestNeighbors(n_neighbors=k, algorithm="brute", metric="euclidean")
        search.fit(unit[0]).kneighbors(unit[1])

    times: dict[str, list[float]] = {"scikit-learn": [], "skelray": []}
    for number in range(1 + rounds):
        took = {
            "scikit-learn": measure.seconds(library),
            "skelray": measure.seconds(lambda: nearest(bank, queries, k)),
        }
        if number:
            for name, value in took.items():
                times[name].append(value)
    medians = {name: statistics.median(values) for name, values in times.items()}
    print(f"{k} neighbours of {test} among {train}, 256 numbers each")
    for name, median in medians.items():
        print(f"  {name:12s} {median:8.2f} s")
    return {"nearest neighbours": medians["scikit-learn"] / medians["skelray"]}


def peak(count: int) -> tuple[float, float]:
    """GB at most, before and during a search of `count` among `count`, of a new process."""
    x = torch.randn(count, 256)
    before = _most_resident()
    nearest(x, x, 20)
    return before, _most_resident()


def _most_resident() -> float:
    (line,) = (x for x in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in x)
    return int(line.split()[1]) / 2**20


def main() -> None:
    """Measures all and prints."""
    parser = measure.parser(__doc__)
    parser.add_argument("--recordings", type=int, default=128, help="of the probe's training part")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--large", type=int, default=60_000, help="searched among as many; 0: not")
    given = parser.parse_args()
    ratios = probe(given.recordings, given.recordings // 2)
    ratios |= neighbours(20_000, 8_000, 20, given.rounds)
    if given.large:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            before, after = pool.apply(peak, (given.large,))
        print(
            f"{given.large} among {given.large}: {before:.2f} GB before, at most {after:.2f}; all "
            f"similarities at once would be {4 * given.large**2 / 2**30:.1f} GB"
        )
    measure.conclude(given, ratios)


if __name__ == "__main__":
    main()
