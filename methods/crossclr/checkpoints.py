"""Checkpoints of LinguoLi/CrosSCLR (`epoch{E}_model.pt`, flat dictionaries) in our keys."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from skelray.platform.errors import CheckpointError
from skelray.platform.method import DataSpec, PublishedState
from skelray.platform.nn.stgcn import published_key
from skelray.platform.skeleton.specs import KINECT_V2

_PARTS = {"q": ("encoder", "projector"), "k": ("key_encoder", "key_projector")}
_STREAMS = ("joint", "motion", "bone")  # in the order of the published classes
_QUEUES = {"queue": "features", "queue_ptr": "pointer"}
_ENCODER = re.compile(r"encoder_(?P<part>[qk])(_(?P<stream>motion|bone))?\.(?P<rest>.+)")
_QUEUE = re.compile(r"(?P<what>queue(_ptr)?)(_(?P<stream>motion|bone))?")


def translate(state: Mapping[str, Tensor], network: str) -> PublishedState:
    """A pretraining checkpoint, or the encoders with their classifiers from linear evaluation.

    CheckpointError names a key that belongs to neither.
    """
    if network == "classifier":
        return _classifier(state)
    ours: dict[str, Tensor] = {}
    for key, value in state.items():
        ours |= _pretrained(key, value)
    names = list(dict.fromkeys(key.split(".")[1] for key in ours))
    first = "streams.0"
    if f"{first}.queue.features" not in ours or f"{first}.projector.2.weight" not in ours:
        raise CheckpointError(
            "no queue or projector: this is no pretraining checkpoint of LinguoLi/CrosSCLR"
        )
    size, width = ours[f"{first}.queue.features"].shape
    for name in names:  # not recorded; full after the first epoch
        ours[f"streams.{name}.queue.filled"] = torch.tensor(size)
    _require_shared_tail(ours, first)
    encoder = f"{first}.encoder"
    return PublishedState(
        config={
            **_widths(ours, encoder),
            "queue": size,
            "projection_dim": width,
            **_streams(len(names)),
        },
        data=_data(ours, encoder, None),
        state=ours,
    )


def _pretrained(key: str, value: Tensor) -> dict[str, Tensor]:
    """One tensor of a pretraining checkpoint, under our key."""
    if found := _ENCODER.fullmatch(key):
        place = f"streams.{_STREAMS.index(found['stream'] or 'joint')}"
        encoder, projector = _PARTS[found["part"]]
        rest = found["rest"]
        if rest.startswith("fc."):
            return {f"{place}.{projector}.{rest[3:]}": value}
        return {f"{place}.{encoder}.{_key(rest)}": value}
    if found := _QUEUE.fullmatch(key):
        what = _QUEUES[found["what"]]
        kept = value.T.contiguous() if what == "features" else value.reshape(())
        number = _STREAMS.index(found["stream"] or "joint")
        return {f"streams.{number}.queue.{what}": kept}
    raise CheckpointError(f"key {key!r} is none of CrosSCLR's or SkeletonCLR's")


def _require_shared_tail(state: Mapping[str, Tensor], first: str) -> None:
    """The ends of the other streams' projectors are stored again: they must be equal."""
    for key, value in state.items():
        found = re.fullmatch(r"streams\.\w+\.(key_projector|projector)\.2\.(\d\..+)", key)
        if found and not torch.equal(value, state[f"{first}.{found[1]}.{found[2]}"]):
            raise CheckpointError(
                f"{key} differs from the first stream's projector, of which it should be a copy"
            )


def _classifier(state: Mapping[str, Tensor]) -> PublishedState:
    each: dict[str, dict[str, Tensor]] = {}
    for key, value in state.items():
        # of one stream it may be that of the encoder alone
        found = _ENCODER.fullmatch(key if key.startswith("encoder_") else f"encoder_q.{key}")
        if not found or found["part"] == "k":
            raise CheckpointError(f"key {key!r} is none of linear evaluation's")
        rest = found["rest"]
        ours = f"head.{rest[3:]}" if rest.startswith("fc.") else f"encoder.{_key(rest)}"
        each.setdefault(found["stream"] or "joint", {})[ours] = value
    names = _STREAMS[: len(each)]
    for name in names:
        if "head.weight" not in each.get(name, {}):
            raise CheckpointError(
                f"no fc.weight of stream {name}: this is no checkpoint of linear evaluation"
            )
    first = each["joint"]
    together = {f"classifiers.{name}.{key}": t for name in names for key, t in each[name].items()}
    return PublishedState(
        config={**_widths(first, "encoder"), **_streams(len(names))},
        data=_data(first, "encoder", len(first["head.weight"])),
        state=together if len(names) > 1 else first,
    )


def _streams(number: int) -> dict[str, tuple[str, ...]]:
    """Nothing for one stream: its checkpoint does not say which."""
    return {"streams": _STREAMS[:number]} if number > 1 else {}


def _key(key: str) -> str:
    try:
        return published_key(key)
    except KeyError:
        raise CheckpointError(f"key {key!r} is none of the published ST-GCN's") from None


def _widths(state: Mapping[str, Tensor], encoder: str) -> dict[str, int]:
    """Widths of the encoder, read from its first and last convolution."""
    try:
        first = state[f"{encoder}.blocks.0.temporal.2.weight"]
        last = state[f"{encoder}.blocks.9.temporal.2.weight"]
    except KeyError as error:
        raise CheckpointError(f"the encoder's key {error} is missing") from None
    return {"channels": len(first), "feature_dim": len(last)}


def _data(state: Mapping[str, Tensor], encoder: str, classes: int | None) -> DataSpec:
    joints = state[f"{encoder}.adjacency"].shape[-1]
    if joints != KINECT_V2.n_joints:
        raise CheckpointError(
            f"the encoder reads {joints} joints; published ones read Kinect v2's 25"
        )
    return DataSpec(skeleton=KINECT_V2, persons=2, coordinates=3, classes=classes)
