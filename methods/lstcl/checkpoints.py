"""Checkpoints of AnshulRustogi/Long-Term-Spatio-Temporal-Framework and limaosen0/AS-GCN.

Two files belong together, `epoch{E}_model1.pt` (encoder and heads) and `epoch{E}_model2.pt` (link
inference), flat dictionaries of tensors.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from skelray.methods.lstcl.config import AS_CODED, LINK_TYPES
from skelray.platform.errors import CheckpointError
from skelray.platform.method import DataSpec, PublishedState
from skelray.platform.skeleton.specs import KINECT_V2

_BLOCK = {
    "gcn.conv": "graph.conv",
    "gcn_recon.deconv": "graph.conv",
    "tcn.0": "first_norm",
    "tcn_recon.0": "first_norm",
    "tcn.2": "temporal",
    "tcn_recon.2": "temporal",
    "tcn.3": "second_norm",
    "tcn_recon.3": "second_norm",
    "residual.0": "residual.0",
    "residual.1": "residual.1",
}
_PLACES = (
    (re.compile(r"class_layer_([0-8])"), ("encoder.blocks.{}",)),
    (re.compile(r"recon_layer_([0-5])"), ("prediction.layers.{}",)),
    (re.compile(r"recon_layer_6_encoder_q"), ("prediction.query",)),
    (re.compile(r"recon_layer_6_encoder_k"), ("prediction.key",)),
    (re.compile(r"recon_layer_6"), ("prediction.query", "prediction.key")),  # AS-GCN's one
)
_GATES = {"r": 0, "i": 1, "n": 2}  # in the order of our decoder: reset, update, new
_IGNORED = (
    r"edge_importance_recon\.[78]",  # of blocks that do not exist
    r"decoder\.msg_fc[12]\.0\.\w+",  # messages of no link
    r"video_encoder\.mlp_\w+_decode(_[qk])?\.bn\.\w+",  # norms that are switched off
)


def translate(states: Sequence[Mapping[str, Tensor]], network: str) -> PublishedState:
    """Both files' tensors, whichever comes first, as a method with the published losses.

    CheckpointError where one is missing, or names a key that belongs to neither.
    """
    if network == "classifier":
        raise CheckpointError(
            "LSTCL publishes no classifier of its own: import both files as 'pretrain', its "
            "recognition head is among them"
        )
    model1 = next((state for state in states if "data_bn.weight" in state), None)
    model2 = next((state for state in states if "encoder.fc_out.weight" in state), None)
    if model1 is None or model2 is None or len(states) != 2:
        raise CheckpointError(
            "both files of an epoch belong together: give epoch…_model1.pt and epoch…_model2.pt"
        )
    named = [*_pairs(model1, _model1), *_pairs(model2, _model2)]
    ours = {**dict(named), **_gates(model2)}
    twice = any(key.startswith("recon_layer_6_encoder_q.") for key in model1)
    return PublishedState(
        config={**AS_CODED, **_widths(ours, model1, model2), "share_twice": twice},
        data=_data(ours),
        state=ours,
        absent=_absent(ours, twice=twice),
    )


def _pairs(state: Mapping[str, Tensor], rule: Any) -> Iterator[tuple[str, Tensor]]:
    """Our keys and tensors, of all keys that are of any use here."""
    for key, value in state.items():
        if any(re.fullmatch(pattern, key) for pattern in _IGNORED):
            continue
        yield from rule(key, value)


def _model1(key: str, value: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Encoder and heads."""
    module, _, leaf = key.rpartition(".")
    if key == "A":
        yield "encoder.structure", value
    elif key == "queue":
        yield "contrast.keys.rows", value.flatten(1)
    elif key == "queue_ptr":
        yield "contrast.keys.pointer", value.reshape(())
    elif module == "data_bn":
        yield f"encoder.input_norm.{leaf}", value
    elif module == "fcn":
        yield f"recognition.1.{leaf}", value.flatten(1) if leaf == "weight" else value
    elif found := re.fullmatch(r"edge_importance\.(\d)", key):
        yield f"encoder.blocks.{found[1]}.graph.edge_importance", value
    elif found := re.fullmatch(r"edge_importance_recon\.([0-5])", key):
        yield f"prediction.layers.{found[1]}.graph.edge_importance", value
    elif key == "edge_importance_recon.6":  # one mask for both ends
        yield "prediction.query.graph.edge_importance", value
        yield "prediction.key.graph.edge_importance", value.clone()
    else:
        yield from _block(key, value)


def _block(key: str, value: Tensor) -> Iterator[tuple[str, Tensor]]:
    name, _, rest = key.partition(".")
    part, _, leaf = rest.rpartition(".")
    for pattern, places in _PLACES:
        found = pattern.fullmatch(name)
        if found and part in _BLOCK:
            if "_recon." in part and value.dim() == 4:  # a transposed convolution's
                value = value.transpose(0, 1).contiguous()
            for place in places:
                yield f"{place.format(*found.groups())}.{_BLOCK[part]}.{leaf}", value.clone()
            return
    raise CheckpointError(f"key {key!r} is none of LSTCL's or AS-GCN's")


def _model2(key: str, value: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Link inference and its video part; the decoder's gates are left to `_gates`."""
    if found := re.fullmatch(r"encoder\.(mlp[1-4])\.(fc[12]|bn)\.(\w+)", key):
        yield f"links.encoder.{found[1]}.{_layer(found[2])}.{found[3]}", value
    elif found := re.fullmatch(r"encoder\.fc_out\.(\w+)", key):
        yield f"links.encoder.out.{found[1]}", value
    elif found := re.fullmatch(r"decoder\.msg_fc([12])\.([1-9])\.(\w+)", key):
        yield f"links.decoder.message{found[1]}.{int(found[2]) - 1}.{found[3]}", value
    elif found := re.fullmatch(r"decoder\.out_fc([1-3])\.(\w+)", key):
        yield f"links.decoder.out{found[1]}.{found[2]}", value
    elif found := re.fullmatch(r"video_encoder\.(.+)", key):
        yield _video(found[1], value)
    elif not re.fullmatch(r"decoder\.(hidden|input)_[rin]\.\w+", key):
        raise CheckpointError(f"key {key!r} is none of the link inference's")


def _layer(name: str) -> str:
    return "norm" if name == "bn" else name


def _video(key: str, value: Tensor) -> tuple[str, Tensor]:
    """A tensor of the video part."""
    if found := re.fullmatch(r"mlp_(inter|intra|segments)_decode_([qk])\.(.+)", key):
        return f"video.branches.{found[1]}.{_twin(found[2])}.expander.{found[3]}", value
    if found := re.fullmatch(
        r"mlp_(inter|intra|segments)_encode_([qk])\.(\d)\.(fc[12]|bn)\.(\w+)", key
    ):
        place = f"video.branches.{found[1]}.{_twin(found[2])}.projector.{found[3]}"
        return f"{place}.{_layer(found[4])}.{found[5]}", value
    if found := re.fullmatch(r"mlp_tsn_decode\.(.+)", key):
        return f"video.order.expander.{found[1]}", value
    if found := re.fullmatch(r"mlp_tsn_encode\.(\d)\.(fc[12]|bn)\.(\w+)", key):
        return f"video.order.projector.{found[1]}.{_layer(found[2])}.{found[3]}", value
    if found := re.fullmatch(r"tsn_fc\.0\.(\w+)", key):
        return f"video.order.head.{found[1]}", value
    if found := re.fullmatch(r"queue_(inter|video)(_ptr)?", key):
        queue = "inter" if found[1] == "inter" else "segments"
        if found[2]:
            return f"video_contrast.{queue}.pointer", value.reshape(())
        # (row, D, K): as our projections are flattened
        return f"video_contrast.{queue}.rows", value.flatten(1)
    raise CheckpointError(f"key 'video_encoder.{key}' is none of the link inference's")


def _twin(letter: str) -> str:
    return "query" if letter == "q" else "key"


def _gates(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The decoder's gates, three layers there, as one."""
    joined = {}
    for name, leaf in (("hidden", "weight"), ("input", "weight"), ("input", "bias")):
        keys = [f"decoder.{name}_{gate}.{leaf}" for gate in sorted(_GATES, key=_GATES.__getitem__)]
        if missing := [key for key in keys if key not in state]:
            raise CheckpointError(f"key {missing[0]!r} is missing")
        joined[f"links.decoder.{name}.{leaf}"] = torch.cat([state[key] for key in keys])
    return joined


def _widths(
    ours: Mapping[str, Tensor], model1: Mapping[str, Tensor], model2: Mapping[str, Tensor]
) -> dict[str, int]:
    """What the shapes say of the networks."""
    try:
        found = {
            "channels": len(ours["encoder.blocks.0.temporal.weight"]),
            "max_hop": len(ours["encoder.structure"]) // 2,
            "link_hidden": len(ours["links.encoder.out.weight"].T),
            "clip_frames": ours["links.encoder.mlp1.fc1.weight"].shape[1] // 3,
        }
        types = len(ours["links.encoder.out.weight"])
    except KeyError as error:
        raise CheckpointError(f"the network's key {error} is missing") from None
    if types != LINK_TYPES:
        raise CheckpointError(f"it has {types} types of links, published ones have {LINK_TYPES}")
    if "queue" in model1:
        found["queue"] = len(model1["queue"])
    if "video_encoder.queue_video" in model2:
        found["video_queue"] = len(model2["video_encoder.queue_video"])
    return found


def _data(ours: Mapping[str, Tensor]) -> DataSpec:
    joints = ours["encoder.structure"].shape[-1]
    if joints != KINECT_V2.n_joints:
        raise CheckpointError(f"it reads {joints} joints; published ones read Kinect v2's 25")
    if "recognition.1.weight" not in ours:
        raise CheckpointError("key 'fcn.weight' is missing")
    classes = len(ours["recognition.1.weight"])
    return DataSpec(skeleton=KINECT_V2, persons=2, coordinates=3, classes=classes)


def _absent(ours: Mapping[str, Tensor], *, twice: bool) -> dict[str, str]:
    absent = {}
    if not twice:
        absent["contrast"] = "AS-GCN has no queue"
    if not any(key.startswith("video.") for key in ours):
        reason = "a link inference without video part, as before the phase aim_full or AS-GCN's"
        absent |= {"video": reason, "video_contrast": reason}
    return absent
