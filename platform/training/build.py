"""Methods from configurations and checkpoints; a seed gives the same initial weights anywhere."""

from __future__ import annotations

from pathlib import Path

import torch
from pydantic import TypeAdapter

from skelray.platform import registry
from skelray.platform.config import FinetuningConfig, RunConfig, build
from skelray.platform.method import DataSpec, Method, key_of
from skelray.platform.training.checkpoint import Checkpoint
from skelray.platform.training.classifier import ClassifierTraining

DATA_SPEC = TypeAdapter(DataSpec)  # to JSON and back: part of every checkpoint


def build_method(config: RunConfig, data: DataSpec, *, pretrained: bool = False) -> Method:
    """The method with its initial weights, a function of the run's seed.

    Of a fine-tuning: the training of its classifier, with `pretrained` of the weights it begins
    with.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key_of(config.seed, "initialisation") & (2**63 - 1))
        method = registry.load_method(config.name)(config.method, data)
        if not isinstance(config, FinetuningConfig):
            return method
        tuning = config.finetuning
        if pretrained and tuning.checkpoint:
            Checkpoint.open(Path(tuning.checkpoint)).restore(method)
        return ClassifierTraining(method, tuning.output, tuning.recipe)


def config_of(checkpoint: Checkpoint) -> RunConfig:
    """The resolved configuration that made a checkpoint."""
    tree = checkpoint.about["config"]
    return build(registry.load_method(tree["name"]).Config, tree)


def load_method(path: Path, data: DataSpec) -> Method:
    """The method of a checkpoint with its weights, strictly: nothing is evaluated on other weights.

    CheckpointError where a tensor is missing, unknown or of another shape, naming it.
    """
    checkpoint = Checkpoint.open(path)
    method = build_method(config_of(checkpoint), data)
    checkpoint.restore(method)
    return method
