"""Checkpoints of HuiGuanLab/UmURL (`checkpoint_0450.pth.tar`, entry `state_dict`) in our keys."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from skelray.platform.errors import CheckpointError
from skelray.platform.method import DataSpec, PublishedState
from skelray.platform.nn.positions import sinusoids
from skelray.platform.skeleton.specs import KINECT_V2

_STREAMS = {"j": "joint", "b": "bone", "m": "motion"}
_SIDES = {"t": "temporal", "s": "spatial"}
_POSITIONS = "backbone.ma_encoder.pe.pe"
_EMBEDDING = re.compile(r"backbone\.(?P<stream>[jbm])_emb\.(?P<side>[ts])_embedding\.(?P<rest>.+)")
_FUSION = re.compile(r"backbone\.mm_fusion\.(?P<side>[ts])_fusion\.0\.(?P<rest>weight)")
_TRANSFORMER = re.compile(r"backbone\.ma_encoder\.(?P<side>[ts])_tr\.(?P<rest>layers\..+)")
_PROJECTOR = re.compile(r"(?P<stream>[jbm])_projector\.(?P<rest>.+)")
_PERSONS, _COORDINATES = 2, 3


def translate(state: Mapping[str, Tensor], network: str) -> PublishedState:
    """A pretraining checkpoint, or the encoder with the classifier of linear evaluation.

    CheckpointError names a key that belongs to neither. The number of attention heads does not
    show in any shape; published networks have one, the default.
    """
    classifier = "fc.weight" in state
    if network == "classifier" and not classifier:
        raise CheckpointError("no fc.weight: this is no classifier, import it as 'pretrain'")
    if network != "classifier" and classifier:
        raise CheckpointError("it has a classifier, fc.weight: import it as 'classifier'")
    ours = {_key(key): value for key, value in state.items() if key != _POSITIONS}
    config = _config(ours)
    _require_positions(state, config["dim"])
    if not classifier:
        if "projectors.joint.6.weight" not in ours:
            raise CheckpointError(
                "no j_projector.6.weight: this is no pretraining checkpoint of HuiGuanLab/UmURL"
            )
        config["projection_dim"] = len(ours["projectors.joint.6.weight"])
    classes = len(state["fc.weight"]) if classifier else None
    data = DataSpec(skeleton=KINECT_V2, persons=_PERSONS, coordinates=_COORDINATES, classes=classes)
    return PublishedState(config=config, data=data, state=ours, output="fused")


def _key(key: str) -> str:
    """Our name of one of the original's tensors."""
    if found := _EMBEDDING.fullmatch(key):
        place = f"{_SIDES[found['side']]}.embeddings.{_STREAMS[found['stream']]}"
        return f"encoder.{place}.{found['rest']}"
    if found := _FUSION.fullmatch(key):
        return f"encoder.{_SIDES[found['side']]}.fusion.{found['rest']}"
    if found := _TRANSFORMER.fullmatch(key):
        return f"encoder.{_SIDES[found['side']]}.transformer.{found['rest']}"
    if found := _PROJECTOR.fullmatch(key):
        return f"projectors.{_STREAMS[found['stream']]}.{found['rest']}"
    if key in ("fc.weight", "fc.bias"):
        return f"head.{key.removeprefix('fc.')}"
    raise CheckpointError(f"key {key!r} is none of UmURL's")


def _config(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """What the shapes say of the network; CheckpointError for other bodies than NTU RGB+D's."""
    try:
        dim, frame = state["encoder.temporal.embeddings.joint.0.weight"].shape
        _, joint = state["encoder.spatial.embeddings.joint.0.weight"].shape
    except KeyError as error:
        raise CheckpointError(f"the network's key {error} is missing") from None
    if frame != _PERSONS * KINECT_V2.n_joints * _COORDINATES:
        raise CheckpointError(
            f"a frame's token has {frame} numbers; published networks read two persons of Kinect "
            "v2's 25 joints, 150 numbers"
        )
    layers = re.compile(r"encoder\.temporal\.transformer\.layers\.(\d+)\.")
    depth = max((int(found[1]) + 1 for key in state if (found := layers.match(key))), default=1)
    return {"dim": dim, "frames": joint // _COORDINATES, "depth": depth}


def _require_positions(state: Mapping[str, Tensor], dim: int) -> None:
    """The original stores its table of sines and cosines; ours is computed."""
    if _POSITIONS not in state:
        raise CheckpointError(f"key {_POSITIONS!r} is missing")
    stored = state[_POSITIONS]
    expected = sinusoids(stored.shape[-2], dim)[None]
    if stored.shape != expected.shape or not torch.allclose(stored, expected, atol=1e-5):
        raise CheckpointError(f"{_POSITIONS} are not the sines and cosines that UmURL adds")
