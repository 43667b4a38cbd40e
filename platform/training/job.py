"""From a resolved configuration to a training loop on this rank; no Ray."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from skelray.platform import distributed
from skelray.platform.config import ClassifierConfig, RunConfig
from skelray.platform.data.clip_loading import ClipData, ClipLoader
from skelray.platform.data.few_labels import few_labels
from skelray.platform.data.loading import ResidentLoader, Sampling
from skelray.platform.data.source import Source
from skelray.platform.method import Method, Phase, key_of
from skelray.platform.training.build import DATA_SPEC, build_method
from skelray.platform.training.loop import (
    Draw,
    Loader,
    Loop,
    Report,
    Test,
    draw_nothing,
    test_nothing,
)


def training_loop(
    config: RunConfig,
    folder: Path,
    *,
    origin: Mapping[str, str],
    device: torch.device | None = None,
    draw: Draw = draw_nothing,
    test: Test = test_nothing,
    report: Report = lambda metrics, step: None,
    stop: Callable[[], bool] = lambda: False,
) -> Loop:
    """The loop of `config` on this rank, its checkpoints and metrics in `folder`.

    The data set must be prepared and its caches built. `origin` (commit, MLflow run) goes into
    every checkpoint. Joins the process group that exists, if any.
    """
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    source = Source.open(config.data)
    method = build_method(config, source.spec, pretrained=True)
    return Loop(
        method=method,
        folder=folder,
        seed=config.seed,
        loader=lambda phase: phase_loader(config, source, method, phase, device),
        about={**description(config, source, method), **origin},
        device=device,
        accumulate=config.training.accumulate,
        checkpoint_every=config.training.checkpoint_every,
        keep_checkpoints=config.training.keep_checkpoints,
        compile=config.training.compile,
        draw=draw,
        test=test,
        report=report,
        stop=stop,
    )


def phase_loader(
    config: RunConfig, source: Source, method: Method, phase: Phase, device: torch.device
) -> tuple[Loader, int]:
    """A phase's batches on this rank, and its optimiser steps per epoch."""
    inputs = method.inputs(phase.name)
    caches = source.caches(inputs)
    index = next(iter(caches.values())).index
    rows = phase_rows(config, source, index, phase)
    sampling = Sampling(
        rows=rows,
        seed=key_of(config.seed, phase.name),
        batch=phase.batch,
        last=phase.last,
        rank=distributed.rank(),
        world=distributed.world_size(),
        labels=phase.labels,
        parts=config.training.accumulate,
    )
    settings = config.data
    if settings.residency == "stream":
        # Ray Data is imported only by those who stream
        from skelray.platform.data.streaming import StreamingLoader

        clips, decoders = source.clip_reader(inputs), settings.decoders or 1
        loader = StreamingLoader(
            caches,
            sampling,
            device,
            clips=clips,
            decoders=decoders,
            in_flight=settings.frames_in_flight,
        )
        return loader, sampling.steps
    data = source.data(inputs, device, settings.residency)
    if isinstance(data, ClipData):
        return ClipLoader(data, sampling, in_flight=settings.frames_in_flight), sampling.steps
    return ResidentLoader(data, sampling), sampling.steps


def phase_rows(
    config: RunConfig, source: Source, index: Mapping[str, np.ndarray], phase: Phase
) -> np.ndarray:
    """The rows of `index` that a phase trains on: the labelled ones where it asks for labels."""
    rows = source.rows(index, phase.part)
    if phase.labels:
        rows = rows[index["label"][rows] >= 0]
    if isinstance(config, ClassifierConfig) and config.classifier.share < 1:
        rows = few_labels(source, index, rows, config.classifier.share)
    return rows


def description(config: RunConfig, source: Source, method: Method) -> dict[str, Any]:
    """What every checkpoint of a run says of where it comes from."""
    inputs = {
        phase.name: {
            field: preprocessing.key()
            for field, preprocessing in method.inputs(phase.name).skeletons.items()
        }
        for phase in method.phases()
    }
    return {
        "name": config.name,
        "run": config.identity(source.version),
        "config": config.model_dump(mode="json"),
        "data": {
            "dataset": source.dataset.name,
            "protocol": source.protocol.name,
            "spec": DATA_SPEC.dump_python(method.data, mode="json"),
            "data_version": source.version,
            "preprocessing": inputs,
        },
        "seed": config.seed,
        "versions": {
            name: importlib.metadata.version(name) for name in ("torch", "numpy", "pydantic")
        },
    }
