"""Methods from configurations and checkpoints; a seed gives the same initial weights anywhere."""

from __future__ import annotations

from pathlib import Path

import torch
from pydantic import TypeAdapter

from skelray.platform import registry
from skelray.platform.config import ClassifierConfig, RunConfig, build
from skelray.platform.errors import CheckpointError
from skelray.platform.method import DataSpec, Method, key_of
from skelray.platform.training.checkpoint import Checkpoint
from skelray.platform.training.classifier import ClassifierTraining

DATA_SPEC = TypeAdapter(DataSpec)  # to JSON and back: part of every checkpoint


def build_method(config: RunConfig, data: DataSpec, *, pretrained: bool = False) -> Method:
    """The method with its initial weights, a function of the run's seed.

    Of a classifier: its training, with `pretrained` of the weights it begins with. `data` then
    says how many classes there are, and the rest only where there are no such weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key_of(config.seed, "initialisation") & (2**63 - 1))
        kind = registry.load_method(config.name)
        if not isinstance(config, ClassifierConfig):
            return kind(config.method, data)
        settings = config.classifier
        spec = settings.trained_on
        method = kind(config.method, DATA_SPEC.validate_python(spec) if spec else data)
        if pretrained and settings.checkpoint:
            Checkpoint.open(Path(settings.checkpoint)).restore(method)
        return ClassifierTraining(method, settings.output, settings.recipe, data.classes)


def config_of(checkpoint: Checkpoint) -> RunConfig:
    """The resolved configuration that made a checkpoint."""
    tree = checkpoint.about["config"]
    return build(registry.load_method(tree["name"]).Config, tree)


def spec_of(checkpoint: Checkpoint) -> DataSpec:
    """What the method of a checkpoint was built for."""
    spec: DataSpec = DATA_SPEC.validate_python(checkpoint.about["data"]["spec"])
    return spec


def require_skeleton(name: str, trained: DataSpec, given: DataSpec) -> None:
    """CheckpointError where what was trained, of that name, cannot read recordings like `given`."""
    if trained.skeleton != given.skeleton or trained.coordinates != given.coordinates:
        raise CheckpointError(
            f"{name} was trained on skeleton {trained.skeleton.name} with {trained.coordinates} "
            f"coordinates; these recordings have {given.skeleton.name} with {given.coordinates}: "
            "choose other data"
        )


def load_method(path: Path) -> Method:
    """The method of a checkpoint with its weights, strictly: nothing is evaluated on other weights.

    CheckpointError where a tensor is missing, unknown or of another shape, naming it.
    """
    checkpoint = Checkpoint.open(path)
    method = build_method(config_of(checkpoint), spec_of(checkpoint))
    checkpoint.restore(method)
    return method
