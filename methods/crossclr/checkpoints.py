"""Checkpoints of LinguoLi/CrosSCLR (`epoch{E}_model.pt`, flat dictionaries) in our keys."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from skelray.platform.errors import CheckpointError
from skelray.platform.method import DataSpec, PublishedState
from skelray.platform.nn.stgcn import published_key
from skelray.platform.skeleton.specs import KINECT_V2

_ENCODERS = {"encoder_q": ("encoder", "projector"), "encoder_k": ("key_encoder", "key_projector")}


def translate(state: Mapping[str, Tensor], network: str) -> PublishedState:
    """A pretraining checkpoint, or the encoder with its classifier from linear evaluation.

    CheckpointError names a key that belongs to neither.
    """
    if network == "classifier":
        return _classifier(state)
    ours: dict[str, Tensor] = {}
    for key, value in state.items():
        prefix, _, rest = key.partition(".")
        if prefix in _ENCODERS:
            encoder, projector = _ENCODERS[prefix]
            head = rest.startswith("fc.")
            ours[f"{projector}.{rest[3:]}" if head else f"{encoder}.{_key(rest)}"] = value
        elif key == "queue":
            ours["queue.features"] = value.T.contiguous()
        elif key == "queue_ptr":
            ours["queue.pointer"] = value.reshape(())
        else:
            raise CheckpointError(f"key {key!r} is none of SkeletonCLR's")
    if "queue.features" not in ours or "projector.2.weight" not in ours:
        raise CheckpointError(
            "no queue or projector: this is no pretraining checkpoint of SkeletonCLR"
        )
    size, width = ours["queue.features"].shape
    ours["queue.filled"] = torch.tensor(size)  # not recorded; full after the first epoch
    return PublishedState(
        config={**_widths(ours), "queue": size, "projection_dim": width},
        data=_data(ours, None),
        state=ours,
    )


def _classifier(state: Mapping[str, Tensor]) -> PublishedState:
    ours: dict[str, Tensor] = {}
    for key, value in state.items():
        rest = key.removeprefix("encoder_q.")
        ours[f"head.{rest[3:]}" if rest.startswith("fc.") else f"encoder.{_key(rest)}"] = value
    if "head.weight" not in ours:
        raise CheckpointError("no fc.weight: this is no checkpoint of linear evaluation")
    return PublishedState(
        config=_widths(ours), data=_data(ours, len(ours["head.weight"])), state=ours
    )


def _key(key: str) -> str:
    try:
        return published_key(key)
    except KeyError:
        raise CheckpointError(f"key {key!r} is none of the published ST-GCN's") from None


def _widths(state: Mapping[str, Tensor]) -> dict[str, int]:
    """Widths of the encoder, read from its first and last convolution."""
    try:
        first = state["encoder.blocks.0.temporal.2.weight"]
        last = state["encoder.blocks.9.temporal.2.weight"]
    except KeyError as error:
        raise CheckpointError(f"the encoder's key {error} is missing") from None
    return {"channels": len(first), "feature_dim": len(last)}


def _data(state: Mapping[str, Tensor], classes: int | None) -> DataSpec:
    joints = state["encoder.adjacency"].shape[-1]
    if joints != KINECT_V2.n_joints:
        raise CheckpointError(
            f"the encoder reads {joints} joints; published ones read Kinect v2's 25"
        )
    return DataSpec(skeleton=KINECT_V2, persons=2, coordinates=3, classes=classes)
