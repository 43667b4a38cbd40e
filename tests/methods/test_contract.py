"""What every registered method must keep, on made-up recordings with the bare loop. No Ray.

A method that is new to the registry is tested as it is; `SMALLER` may shrink its network so that
the checks take seconds. Its settings are the published ones (no preset). That every shipped
experiment builds is tested in tests/experiments; tests/docs uses `Case` and the tests here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from skelray.platform import distributed, registry
from skelray.platform.clips.sampling import central_frames
from skelray.platform.config import RunConfig, resolve
from skelray.platform.data.loading import Sampling
from skelray.platform.dataset import Dataset, SkeletonSample
from skelray.platform.method import (
    Batch,
    ClipSpec,
    DataSpec,
    Draws,
    Inputs,
    Method,
    Phase,
    Ragged,
    key_of,
)
from skelray.platform.optim import Optimiser
from skelray.platform.training import checkpoint
from skelray.platform.training.build import build_method
from skelray.platform.training.checkpoint import Checkpoint
from skelray.platform.training.loop import Loader, Loop
from tests.toys import on_ranks

SAMPLES, BATCH = 26, 8  # three steps an epoch; the last two samples are dropped

# Overrides that make a method's published network small; queues hold no multiple of the batch.
SMALLER: Mapping[str, tuple[str, ...]] = {
    "skeletonclr": (
        "method.channels=4",
        "method.feature_dim=16",
        "method.projection_dim=8",
        "method.frames=16",
        "method.queue=20",
    ),
    "crossclr": (
        "method.channels=4",
        "method.feature_dim=16",
        "method.projection_dim=8",
        "method.frames=16",
        "method.queue=20",
        "method.cross_epoch=1",
    ),
    "skeleton_contrast": (
        "method.representations=[sequence,graph,image]",
        # as published, the middle of the spine is 0 throughout: exactly in the kink of the first
        # ReLU while all biases are 0, so that rounding decides about gradients
        "method.centre=first_seen",
        "method.frames=16",
        "method.shortest_crop=8",
        "method.gru_hidden=6",
        "method.agcn_channels=4",
        "method.hcn_channels=16",
        "method.projection_dim=8",
        "method.queue=20",
    ),
    "svdata2vec": (
        "method.frames=12",
        "method.size=24",
        "method.resized=28",
        "method.channels=4",
        "method.dim=16",
        "method.depth=2",
        "method.decoder_depth=1",
        "method.heads=2",
        "method.warmup_epochs=0",
    ),
    "umurl": (
        "method.frames=16",
        "method.dim=16",
        "method.projection_dim=12",
        "method.last=drop",  # of a last batch of two BatchNorm leaves rounding alone
        "method.precision=float32",  # fp16, as published, is for GPUs
    ),
    "lstcl": (
        "method.frames=24",
        "method.future=4",
        "method.clip_frames=10",
        "method.channels=4",
        "method.max_hop=2",
        "method.link_hidden=8",
        "method.video_width=0.05",
        "method.neighbours_from=0",
        "method.queue=20",
        "method.video_queue=20",
        # at the published rate and weights rounding grows a hundredfold with every step
        "method.lr=0.001",
        "method.initialisation=torch",
    ),
}

PICTURE = 500  # pixels of the made-up recordings' pictures


@dataclass(frozen=True)
class Case:
    """A method under test: its experiment, and overrides that make it small."""

    name: str
    experiment: str = "synthetic"
    overrides: tuple[str, ...] = ()

    def config(self) -> RunConfig:
        published = ("preset=''", f"method.batch={BATCH}")
        return resolve(self.name, self.experiment, [*published, *self.overrides])

    def without_dropout(self) -> Case:
        """Ranks draw their own dropout: they equal one process only without it."""
        fields = registry.load_method(self.name).Config.model_fields
        off = ("method.dropout=0",) if "dropout" in fields else ()
        return replace(self, overrides=(*self.overrides, *off))


METHODS = pytest.mark.parametrize(
    "case",
    [Case(name, overrides=SMALLER.get(name, ())) for name in registry.method_names()],
    ids=lambda case: case.name,
)


def build(config: RunConfig, *, seed: int = 0) -> Method:
    """The method with initial weights of its own seed."""
    dataset = registry.load_dataset(config.data.dataset)
    spec = DataSpec(
        skeleton=dataset.skeleton,
        persons=dataset.persons,
        coordinates=dataset.skeleton.dimensions,
        classes=len(dataset.classes),
    )
    return build_method(config.model_copy(update={"seed": seed}), spec)


@cache
def recording(dataset: type[Dataset], row: int) -> SkeletonSample:
    """Smooth random motion of 12 to 40 frames; every third recording lacks its last person.

    In the picture it is seen from the front.
    """
    generator = np.random.default_rng(row)
    frames = int(generator.integers(12, 41))
    bodies = max(1, dataset.persons - (row % 3 == 0))
    shape = (frames, bodies, dataset.skeleton.n_joints, dataset.skeleton.dimensions)
    steps = generator.normal(scale=0.05, size=shape)
    pose = generator.normal(size=(1, *shape[1:]))
    xyz = (pose + steps.cumsum(0)).reshape(-1, *shape[2:]).astype(np.float32)
    return SkeletonSample(
        id=f"made up {row}",
        frame_bodies=np.full(frames, bodies, dtype=np.int32),
        xyz=xyz,
        color_xy=(PICTURE / 2 + 60 * xyz[..., :2]).clip(1, PICTURE - 1),
    )


def ragged(
    dataset: type[Dataset], preprocessing: Callable[..., Any], rows: Sequence[int]
) -> Ragged:
    """The recordings of these rows, preprocessed one by one."""
    done = [preprocessing(recording(dataset, row), dataset.skeleton) for row in rows]
    sizes = torch.tensor([len(each.frames) for each in done])
    return Ragged(
        frames=torch.from_numpy(np.concatenate([each.frames for each in done])),
        offsets=torch.cat([torch.zeros(1, dtype=torch.int64), sizes.cumsum(0)]),
        present=torch.from_numpy(np.concatenate([each.present for each in done])),
        length=torch.tensor([each.length for each in done]),
        scalars={
            name: torch.tensor([each.scalars[name] for each in done]) for name in done[0].scalars
        },
    )


def made_up(
    dataset: type[Dataset], inputs: Inputs, rows: Sequence[int], *, labels: bool = False
) -> Batch:
    """A batch in which every recording is a function of its row alone."""
    index = torch.tensor(rows)
    label = index % len(dataset.classes)
    return Batch(
        index=index,
        id=[f"made up {row}" for row in rows],
        key=torch.tensor([key_of(f"made up {row}") for row in rows]),
        skeletons={name: ragged(dataset, made, rows) for name, made in inputs.skeletons.items()},
        label=label if labels else None,
        subject=index % 5,
        camera=index % 3,
        setup=index % 2,
        fps=torch.full((len(rows),), 30.0),
        **(clips(dataset, inputs.clip, rows) if inputs.clip else {}),
    )


def clips(dataset: type[Dataset], spec: ClipSpec, rows: Sequence[int]) -> dict[str, Tensor]:
    """A batch's fields of clips: noise around a grey of each recording; one in 13 is broken."""
    generators = [torch.Generator().manual_seed(row) for row in rows]
    shape = (spec.frames, spec.size, spec.size, 3)
    pictures = [
        (60 * torch.randn(shape, generator=g) + 90 + row % 7 * 10).clamp(0, 255)
        for g, row in zip(generators, rows, strict=True)
    ]
    frames = torch.tensor([recording(dataset, row).frames for row in rows])
    corner = torch.stack([torch.randint(0, 100, (2,), generator=g) for g in generators]).float()
    ok = torch.tensor(rows) % 13 != 12
    return {
        "clip": torch.stack(pictures).to(torch.uint8) * ok[:, None, None, None, None],
        "clip_index": central_frames(frames, spec.frames),
        "pose_index": central_frames(frames, spec.frames),
        "clip_box": torch.cat([corner, corner + PICTURE - 100], dim=1),
        "clip_hw": torch.full((len(rows), 2), PICTURE),
        "clip_ok": ok,
    }


def loop_of(
    config: RunConfig,
    folder: Path,
    *,
    epochs: int = 1,
    initial: int = 0,
    sgd: bool = False,
    **changes: Any,
) -> Loop:
    """The bare loop of a method on this rank; every phase lasts `epochs`.

    With `sgd` no optimiser divides by the gradient's size, by which Adam makes of rounding, where a
    gradient is nothing else, as long a way as of any other.
    """
    method = build(config, seed=initial)
    dataset = registry.load_dataset(config.data.dataset)
    shortened = [phase.model_copy(update={"epochs": epochs}) for phase in method.phases()]
    if sgd:
        shortened = [
            phase.model_copy(update={"optimiser": Optimiser(lr=0.05)})
            if phase.optimiser.name != "sgd"
            else phase
            for phase in shortened
        ]
    method.phases = lambda: shortened  # type: ignore[method-assign]

    def loader(phase: Phase) -> tuple[Loader, int]:
        sampling = Sampling(
            rows=np.arange(SAMPLES),
            seed=1,
            batch=phase.batch,
            last=phase.last,
            rank=distributed.rank(),
            world=distributed.world_size(),
            labels=phase.labels,
        )

        def epoch(number: int, first: int) -> Iterator[list[Batch]]:
            inputs = method.inputs(phase.name)
            for parts in sampling.epoch(number, first):
                rows = [part.tolist() for part in parts]
                yield [made_up(dataset, inputs, part, labels=phase.labels) for part in rows]

        return epoch, sampling.steps

    about = {"name": config.name}
    return Loop(method=method, folder=folder, seed=0, loader=loader, about=about, **changes)


def trained(loop: Loop) -> dict[str, Tensor]:
    """Runs the loop to its end; the state in its last checkpoint."""
    state: dict[str, Tensor] = loop.run().load()["method"]
    return state


def newest(folder: Path) -> Checkpoint:
    last = checkpoint.latest(folder / "checkpoints")
    assert last is not None
    return last


def snapshot(method: Method) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in method.state_dict().items()}


@METHODS
def test_gradients_reach_every_parameter_that_is_not_frozen(case: Case, tmp_path: Path) -> None:
    losses = []

    def check(metrics: Mapping[str, float], step: int) -> None:
        losses.append(metrics["train/loss"])
        for name, parameter in loop.method.named_parameters():
            reached = parameter.grad is not None and bool(parameter.grad.any())
            assert reached == parameter.requires_grad, f"{name} after step {step}"
            parameter.grad = None  # the next phase's optimiser may not hold it

    loop = loop_of(case.config(), tmp_path, report=check)
    loop.run()
    assert len(losses) == len(loop.method.phases())  # reported after each phase
    assert np.isfinite(losses).all()


@METHODS
def test_a_checkpoint_holds_all_that_the_next_step_needs(case: Case, tmp_path: Path) -> None:
    class Stopped(Exception):
        """Ends the process after an epoch."""

    def stop(metrics: Mapping[str, float], step: int) -> None:
        raise Stopped

    config = case.config()
    whole = trained(loop_of(config, tmp_path / "whole", epochs=2))
    finished, starts = False, 0
    while not finished:  # each epoch in a new object, which has other weights until it loads
        parts = loop_of(config, tmp_path / "parts", epochs=2, initial=starts, report=stop)
        starts += 1
        with pytest.raises(Stopped):
            parts.run()
        finished = newest(tmp_path / "parts").finished
    assert starts == 2 * len(parts.method.phases())
    state = newest(tmp_path / "parts").load()["method"]
    assert state.keys() == whole.keys()
    assert [name for name in whole if not torch.equal(state[name], whole[name])] == []


def train_on_this_rank(case: Case, folder: Path) -> None:
    """Trains; for spawned ranks."""
    loop_of(case.config(), folder, sgd=True).run()


@METHODS
def test_two_ranks_equal_one(case: Case, tmp_path: Path) -> None:
    """After three steps a tensor may differ by a hundredth of how far it went.

    Without synchronised BatchNorm the difference is as large as the way itself. Biases before a
    BatchNorm have no gradient but rounding, hence the absolute term.
    """
    case = case.without_dropout()
    start = snapshot(build(case.config()))
    on_ranks(2, train_on_this_rank, case, tmp_path / "two")
    one = trained(loop_of(case.config(), tmp_path / "one", sgd=True))
    two = newest(tmp_path / "two").load()["method"]
    assert two.keys() == one.keys()
    for name, value in one.items():
        if not value.is_floating_point():
            assert torch.equal(two[name], value), name
            continue
        moved, apart = (value - start[name]).norm(), (value - two[name]).norm()
        assert apart <= 1e-2 * moved + 1e-5 * value.numel() ** 0.5, f"{name}: {apart} of {moved}"


@METHODS
def test_features_depend_on_the_recording_alone(case: Case, tmp_path: Path) -> None:
    config = case.config()
    loop = loop_of(config, tmp_path)
    loop.run()  # so that BatchNorm has statistics
    method, dataset = loop.method.eval(), registry.load_dataset(config.data.dataset)
    before = snapshot(method)

    @torch.no_grad()
    def features(output: str, rows: Sequence[int]) -> Tensor:
        batch = made_up(dataset, method.inputs(output), rows)
        found = method.features(method.eval_views(batch, output), [output])
        assert found.keys() == {output}
        return found[output]

    for output, width in method.outputs.items():
        together = features(output, range(5))
        assert together.shape == (5, width)
        assert bool(together.isfinite().all())
        assert torch.equal(features(output, range(5)), together)
        others = torch.cat([features(output, rows) for rows in ([4, 9], [3, 2, 7], [1], [0])])
        tolerance = 1e-5 * float(together.abs().max())
        torch.testing.assert_close(
            others[[6, 5, 3, 2, 0]], together, atol=tolerance, rtol=0, msg=output
        )
        assert float(torch.pdist(together).min()) > 10 * tolerance, "recordings look the same"
    after = method.state_dict()
    assert [name for name in before if not torch.equal(before[name], after[name])] == []


@METHODS
def test_its_classifiers_learn_and_leave_it_as_it_is(case: Case, tmp_path: Path) -> None:
    config = case.config()
    method, dataset = build(config), registry.load_dataset(config.data.dataset)
    before = snapshot(method)
    for recipe, output in product(method.recipes().values(), method.outputs):
        inputs = method.training_inputs(output) if recipe.augment else method.inputs(output)
        batch = made_up(dataset, inputs, range(4), labels=True)
        draws = Draws(0, 0, batch.key) if recipe.augment else None
        classifier = method.classifier(len(dataset.classes), output, recipe).train()
        logits = classifier(method.eval_views(batch, output, draws))
        assert logits.shape == (4, len(dataset.classes)) and bool(logits.isfinite().all())
        assert batch.label is not None
        torch.nn.functional.cross_entropy(logits, batch.label).backward()
        for name, parameter in classifier.named_parameters():
            assert (parameter.grad is not None) == parameter.requires_grad, name
            assert 0 <= classifier.layer(name) <= classifier.layers, name
    after = method.state_dict()
    assert [name for name in before if not torch.equal(before[name], after[name])] == []
    assert all(parameter.grad is None for parameter in method.parameters())


@METHODS
def test_it_trains_without_ray_and_mlflow(case: Case, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tests.methods.test_contract import *\n"
        f"train_on_this_rank({case!r}, Path({str(tmp_path)!r}))\n"
        "print([name for name in ('ray', 'mlflow') if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
