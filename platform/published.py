"""Weights of published implementations in skelray's methods: strict, and no foreign code runs."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from skelray.platform import registry
from skelray.platform.config import explain, keys_of
from skelray.platform.errors import CheckpointError, UsageError
from skelray.platform.method import Method, MethodConfig, PublishedState, matches
from skelray.platform.nn.heads import MeanLogits


def load_published(
    name: str,
    files: Sequence[Path],
    network: Literal["pretrain", "classifier"] = "pretrain",
    **config: Any,
) -> nn.Module:
    """The method `name`, or a classifier of it, with an original's weights, in eval mode.

    `config` overrides what the tensors' shapes imply. CheckpointError where a key is missing,
    unknown or of another shape, naming it; keys that the method declares absent from the original
    stay as initialised.
    """
    kind = registry.load_method(name)
    published = translated(kind, files, network)
    settings = settings_of(kind, published, config)
    module: nn.Module = kind(settings, published.data)
    if network == "classifier":
        assert isinstance(module, kind)
        classes = published.data.classes
        assert classes is not None, f"{name}.published names no number of classes"
        module = _classifier(module, classes, published)
    load_strictly(module, published.state, published.absent, source=str(files[0]))
    return module.eval()


def _classifier(method: Method, classes: int, published: PublishedState) -> nn.Module:
    """That of the output named, or of several outputs, of all that the recipe combines."""
    recipe = method.recipes()[published.recipe]
    outputs = [published.output] if published.output else method.outputs
    found = {name: method.classifier(classes, name, recipe) for name in outputs}
    if len(found) > 1 and recipe.combine == "mean_logits":
        return MeanLogits(found)
    return next(iter(found.values()))


def translated(kind: type[Method], files: Sequence[Path], network: str) -> PublishedState:
    """What the original's files hold, in our terms; CheckpointError names the first file."""
    states = [read_state(file) for file in files]
    try:
        return kind.published(states, network)
    except CheckpointError as error:
        raise CheckpointError(f"{files[0]}: {error}") from None
    except NotImplementedError as error:
        raise UsageError(str(error)) from None


def settings_of(
    kind: type[Method], published: PublishedState, given: Mapping[str, Any]
) -> MethodConfig:
    """The method's settings: its defaults, what the tensors' shapes imply, what is given."""
    try:
        return kind.Config(**{**published.config, **given})
    except ValidationError as error:
        reason = explain(error, list(keys_of(kind.Config)))
        raise UsageError(f"published weights: {reason}") from None


def read_state(file: Path) -> dict[str, Tensor]:
    """A flat state dict of tensors from a torch file; `module.` prefixes are removed.

    It may be the entry `model` or `state_dict` of a training's checkpoint, beside optimiser, epoch
    and command line.
    """
    try:
        with torch.serialization.safe_globals([Namespace]):  # argparse's: values, no code
            state = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"{file} does not exist") from None
    except UnpicklingError as error:
        # torch's own line advises to switch the check off
        unsafe = re.search(r"GLOBAL (\S+)", str(error))
        reason = f"it holds a {unsafe[1]}" if unsafe else "it is damaged or no torch file"
        raise CheckpointError(
            f"{file} is not read, {reason}: save its state_dict, tensors only"
        ) from None
    except Exception as error:  # torch raises many kinds for foreign or damaged files
        reason = " ".join(str(error).split())[:160]
        raise CheckpointError(f"{file} is no readable torch checkpoint: {reason}") from None
    if isinstance(state, Mapping):
        entries = (state.get(name) for name in ("model", "state_dict"))
        state = next((one for one in entries if isinstance(one, Mapping)), state)
    if not isinstance(state, Mapping) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    ):
        raise CheckpointError(
            f"{file} does not hold a flat dictionary of tensors: save a model's state_dict alone"
        )
    return {key.removeprefix("module."): value for key, value in state.items()}


def load_strictly(
    module: nn.Module, state: Mapping[str, Tensor], absent: Mapping[str, str], *, source: str
) -> None:
    """Loads `state` into `module`; CheckpointError names the first key that does not fit."""
    own = module.state_dict()
    if unknown := sorted(set(state) - set(own)):
        raise CheckpointError(f"{source}: key {unknown[0]!r} is unknown to the method")
    missing = sorted(key for key in set(own) - set(state) if not matches(key, tuple(absent)))
    if missing:
        raise CheckpointError(f"{source}: key {missing[0]!r} is missing ({len(missing)} in all)")
    for key, value in state.items():
        if value.shape != own[key].shape:
            raise CheckpointError(
                f"{source}: {key!r} has shape {tuple(value.shape)}, "
                f"expected {tuple(own[key].shape)}"
            )
    module.load_state_dict({**own, **state})
