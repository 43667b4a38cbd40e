"""`--dry-run`: the resolved configuration and what the run costs, measured here without Ray.

One training step is really run on made-up recordings of the data set's shape; counts of recordings
come from the prepared store where it exists.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
import yaml

from skelray.platform import registry
from skelray.platform.config import RunConfig
from skelray.platform.data.order import steps_per_epoch
from skelray.platform.data.source import Source, data_spec
from skelray.platform.dataset import Dataset, SkeletonSample
from skelray.platform.errors import DataError, UsageError
from skelray.platform.evaluation.classifier_configs import classifier_configs
from skelray.platform.method import Batch, ClipSpec, Method, Phase, Progress, Ragged, key_of
from skelray.platform.training.build import build_method
from skelray.platform.training.step import Stepper

_FRAMES = 80  # of a made-up recording: about NTU's mean
_FRAMES_AT_ONCE = 256  # of pictures in the step that is measured


def report(config: RunConfig) -> str:
    """The text of a dry run."""
    lines = [yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False).rstrip(), "---"]
    dataset = registry.load_dataset(config.data.dataset)
    lines.append(f"data: {dataset.name} {config.data.protocol}, {_recordings(config)}")
    return "\n".join([*lines, *_costs(config, dataset)])


def _recordings(config: RunConfig) -> str:
    try:
        source = Source.open(config.data)
    except DataError:
        dataset = registry.load_dataset(config.data.dataset)
        if dataset().generated:  # others may bring further splits with their files
            dataset.protocol(config.data.protocol)
        return "not prepared yet"
    return f"{source.store.manifest['samples']} recordings, version {source.store.version}"


def _costs(config: RunConfig, dataset: type[Dataset]) -> Iterator[str]:
    method = build_method(config, data_spec(dataset, _classes(config, dataset)))
    learnt = sum(p.numel() for p in method.parameters() if p.requires_grad)
    held = sum(t.numel() * t.element_size() for t in method.state_dict().values())
    yield f"parameters: {learnt:,} trained; state {held / 2**20:.1f} MiB"
    yield from _phases(config, method, dataset)
    for one in classifier_configs(config, tuple(method.outputs)):
        classifier, asked = build_method(one, method.data), one.classifier
        for line in _phases(one, classifier, dataset):
            yield f"{asked.start}/{asked.measure} of {asked.output}, {line}"


def _phases(config: RunConfig, method: Method, dataset: type[Dataset]) -> Iterator[str]:
    workers = config.training.workers
    for phase in method.phases():
        share = max(2, phase.batch // workers)
        clip = method.inputs(phase.name).clip
        # activations of a batch of clips may need more memory than there is: fewer, then scaled
        count = min(share, max(2, _FRAMES_AT_ONCE // clip.frames)) if clip else share
        batch = made_up_batch(method, dataset, phase.name, count)
        if not phase.labels:
            batch = replace(batch, label=None)
        size = sum(ragged.frames.nbytes for ragged in batch.skeletons.values()) / count
        seconds = _step_seconds(method, phase, batch) * share / count
        steps = _steps(config, method, phase)
        total = f"{phase.epochs} epochs"
        if steps:
            hours = seconds * steps * phase.epochs / 3600
            total = f"{phase.epochs} epochs of {steps} steps: about {hours:.2f} h of training"
        yield (
            f"phase {phase.name}: batch {phase.batch} on {workers} worker(s), "
            f"rate {phase.optimiser.lr:g}; {seconds:.2f} s a step on this machine"
            f"{f' (from one of {count})' if count < share else ''}; {total}; "
            f"{size / 1024:.0f} KiB a recording in the cache"
        )


def _classes(config: RunConfig, dataset: type[Dataset]) -> int:
    """How many the protocol has; one that comes with files not prepared yet has all of them."""
    try:
        return len(Source.open(config.data).classes)
    except DataError:
        pass
    try:
        return len(dataset.classes_under(dataset.protocol(config.data.protocol)))
    except UsageError:
        return len(dataset.classes)


def _steps(config: RunConfig, method: Method, phase: Phase) -> int:
    """Steps per epoch where the data are prepared and preprocessed; 0 where that is not known."""
    try:
        source = Source.open(config.data)
        cache = next(iter(source.caches(method.inputs(phase.name)).values()))
    except DataError:
        return 0
    return steps_per_epoch(len(source.rows(cache.index, phase.part)), phase.batch, phase.last)


def made_up_batch(method: Method, dataset: type[Dataset], use: str, count: int) -> Batch:
    """`count` random recordings of the data set's shape, preprocessed for a phase or output."""
    generator = np.random.default_rng(0)
    skeleton, persons = dataset.skeleton, dataset.persons
    shape = (_FRAMES * persons, skeleton.n_joints, skeleton.dimensions)
    sample = SkeletonSample(
        id="made up",
        frame_bodies=np.full(_FRAMES, persons, dtype=np.int32),
        xyz=generator.normal(size=shape).astype(np.float32),
        color_xy=generator.uniform(1, 500, (*shape[:2], 2)).astype(np.float32),
        score=np.ones(shape[:2], dtype=np.float32),
    )
    inputs = method.inputs(use)
    skeletons = {}
    for name, preprocessing in inputs.skeletons.items():
        done = preprocessing(sample, skeleton)
        frames = torch.from_numpy(done.frames)
        skeletons[name] = Ragged(
            frames=frames.repeat(count, 1, 1, 1),
            offsets=torch.arange(count + 1) * len(frames),
            present=torch.from_numpy(done.present).repeat(count, 1),
            length=torch.full((count,), done.length),
            score=None if done.score is None else torch.from_numpy(done.score).repeat(count, 1, 1),
            scalars={k: torch.full((count,), v) for k, v in done.scalars.items()},
        )
    return Batch(
        index=torch.arange(count),
        id=[f"made up {i}" for i in range(count)],
        key=torch.tensor([key_of(i) for i in range(count)]),
        skeletons=skeletons,
        label=torch.arange(count) % method.data.classes if method.data.classes else None,
        **(_made_up_clips(inputs.clip, count) if inputs.clip else {}),
    )


def _made_up_clips(spec: ClipSpec, count: int) -> dict[str, torch.Tensor]:
    """The fields of a batch's clips, of pictures of 500 pixels."""
    generator = torch.Generator().manual_seed(0)
    shape = (count, spec.frames, spec.size, spec.size, 3)
    frames = torch.arange(spec.frames).repeat(count, 1) % _FRAMES
    return {
        "clip": torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8),
        "clip_index": frames,
        "pose_index": frames,
        "clip_box": torch.tensor([[0.0, 0.0, 500.0, 500.0]]).repeat(count, 1),
        "clip_hw": torch.full((count, 2), 500),
        "clip_ok": torch.ones(count, dtype=torch.bool),
    }


def _step_seconds(method: Method, phase: Phase, batch: Batch) -> float:
    """Time of the second of two training steps."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    stepper = Stepper(method.to(device), phase, seed=0, device=device, ddp=False)
    for step in range(2):
        progress = Progress(
            phase=phase.name,
            epoch=0,
            epochs=phase.epochs,
            step=step,
            step_in_epoch=step,
            steps_per_epoch=2,
        )
        began = time.perf_counter()
        norm = stepper.run([batch.to(device)], progress)["train/grad_norm"]
        norm.item()  # waits for the device
        seconds = time.perf_counter() - began
    return seconds
