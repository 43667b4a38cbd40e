"""Checkpoints of fmthoker/skeleton-contrast (`checkpoint_{E}.pth.tar`, entry `state_dict`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from skelray.platform.errors import CheckpointError
from skelray.platform.method import DataSpec, PublishedState
from skelray.platform.nn.hcn import POOLED
from skelray.platform.skeleton.specs import KINECT_V2

State = dict[str, Tensor]

# of a pair, encoder_q and encoder_k are the first representation's, encoder_r and encoder_l the
# second's; a name in the original: which representation of the pair, our name
_ENCODERS = {
    "encoder_q": (0, "encoder"),
    "encoder_k": (0, "key_encoder"),
    "encoder_r": (1, "encoder"),
    "encoder_l": (1, "key_encoder"),
}
_QUEUES = {
    "queue": (0, "features"),
    "queue_ptr": (0, "pointer"),
    "Queue_S1": (0, "features"),
    "queue_ptr_S1": (0, "pointer"),
    "Queue_S2": (1, "features"),
    "queue_ptr_S2": (1, "pointer"),
}
_PROJECTORS = {"encoder": "projector", "key_encoder": "key_projector"}
_KNOWN_BY = {"encoder.gru.": "sequence", "data_bn.": "graph", "conv1.": "image"}
_GRU = re.compile(r"encoder\.gru\.((?:weight|bias)_[ih]h)_l(\d+)(_reverse)?")
_BLOCK = re.compile(r"l(\d+)\.(.+)")
_GRAPH = (  # of a block of A-GCN; a letter and number at the end is one of several stacked tensors
    (r"gcn1\.PA", r"graph.edges"),
    (r"gcn1\.conv_a\.(\d)\.(\w+)", r"graph.embedding.\2 a\1"),
    (r"gcn1\.conv_b\.(\d)\.(\w+)", r"graph.embedding.\2 b\1"),
    (r"gcn1\.conv_d\.(\d)\.(\w+)", r"graph.conv.\2 d\1"),
    (r"gcn1\.bn\.(\w+)", r"graph.norm.\1"),
    (r"gcn1\.down\.(\d)\.(\w+)", r"graph.shortcut.\1.\2"),
    (r"tcn1\.conv\.(\w+)", r"temporal.\1"),
    (r"tcn1\.bn\.(\w+)", r"norm.\1"),
    (r"residual\.conv\.(\w+)", r"residual.0.\1"),
    (r"residual\.bn\.(\w+)", r"residual.1.\1"),
)
_IMAGE = {
    **{f"conv{n}{m}": f"{part}.{layer}"
       for m, part in (("", "position"), ("m", "motion"))
       for n, layer in (("1", 0), ("2", 2), ("3", 4), ("4", 6))},
    "conv5": "merged.0",
    "conv6": "merged.4",
}  # fmt: skip


def translate(state: Mapping[str, Tensor], network: str) -> PublishedState:
    """A pretraining checkpoint of one or two representations, or one of linear evaluation.

    CheckpointError names a key that belongs to neither.
    """
    return _classifier(state) if network == "classifier" else _pretrained(state)


def _pretrained(state: Mapping[str, Tensor]) -> PublishedState:
    encoders: dict[tuple[int, str], State] = {}
    for key, value in state.items():
        top, _, rest = key.partition(".")
        if top in _ENCODERS:
            encoders.setdefault(_ENCODERS[top], {})[rest] = value
        elif key not in _QUEUES:
            raise CheckpointError(f"key {key!r} is none of Skeleton-Contrast's pretraining")
    queries = {place: one for (place, part), one in encoders.items() if part == "encoder"}
    if 0 not in queries:
        raise CheckpointError("no encoder_q: this is no checkpoint of pretraining")
    if not {place for place, _ in encoders} <= queries.keys():
        raise CheckpointError("keys of the second representation, but no encoder_r")
    names = [_representation(queries[place]) for place in sorted(queries)]
    ours = _queues(state, names)
    for (place, part), one in encoders.items():
        name = names[place]
        prefix = f"contrasts.{name}"
        tensors = encoder_state(_without_head(one), name)
        ours |= {f"{prefix}.{part}.{key}": value for key, value in tensors.items()}
        ours |= {f"{prefix}.{_PROJECTORS[part]}.{k}": v for k, v in _projector(one).items()}
    return _as_found(ours, names)


def _queues(state: Mapping[str, Tensor], names: list[str]) -> State:
    """Rows for columns; how far a queue is filled is not recorded: after some steps it is full."""
    ours: State = {}
    for key, (place, what) in _QUEUES.items():
        if key in state and place < len(names):
            prefix, value = f"contrasts.{names[place]}.queue", state[key]
            if what == "features":
                ours[f"{prefix}.features"] = value.T.contiguous()
                ours[f"{prefix}.filled"] = torch.tensor(value.shape[1])
            else:
                ours[f"{prefix}.{what}"] = value.reshape(())
    return ours


def _as_found(ours: State, names: list[str]) -> PublishedState:
    queue = ours.get(f"contrasts.{names[0]}.queue.features")
    if queue is None:
        raise CheckpointError("no queue: this is no checkpoint of pretraining")
    config: dict[str, Any] = {
        "representations": tuple(names),
        "queue": len(queue),
        "projection_dim": queue.shape[1],
    }
    for name in names:
        encoder = _below(ours, f"contrasts.{name}.encoder.")
        hidden = ours.get(f"contrasts.{name}.projector.0.weight")
        if hidden is None:
            raise CheckpointError(f"no projector (fc.0.weight) of representation {name}")
        config |= _sizes(encoder, name, len(hidden))
    return PublishedState(config=config, data=_data(None), state=ours)


def _classifier(state: Mapping[str, Tensor]) -> PublishedState:
    if "fc.weight" not in state:
        raise CheckpointError("no fc.weight: this is no checkpoint of linear evaluation")
    name = _representation(state)
    ours = {f"encoder.{k}": v for k, v in encoder_state(_without_head(state), name).items()}
    ours |= {f"head.{key}": value for key, value in _below(state, "fc.").items()}
    classes, width = state["fc.weight"].shape
    sizes = _sizes(_below(ours, "encoder."), name, width)
    return PublishedState(
        config={"representations": (name,), **sizes}, data=_data(classes), state=ours, output=name
    )


def _representation(state: Mapping[str, Tensor]) -> str:
    for prefix, name in _KNOWN_BY.items():
        if any(key.startswith(prefix) for key in state):
            return name
    raise CheckpointError("an encoder is none of the published GRU, A-GCN and HCN")


def _below(state: Mapping[str, Tensor], prefix: str) -> State:
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def _without_head(state: Mapping[str, Tensor]) -> State:
    return {key: value for key, value in state.items() if not key.startswith("fc.")}


def _projector(state: Mapping[str, Tensor]) -> State:
    head = _below(state, "fc.")
    if "weight" in head:
        raise CheckpointError("a head of one layer: it was pretrained without the option --mlp")
    return head


def encoder_state(state: Mapping[str, Tensor], representation: str) -> State:
    """A published encoder's tensors, without `fc`, under the keys of the platform's network."""
    if representation == "graph":
        return _graph_state(state)
    one = _sequence_key if representation == "sequence" else _image_key
    return {one(key): value for key, value in state.items()}


def _sequence_key(key: str) -> str:
    found = _GRU.fullmatch(key)
    if not found:
        raise CheckpointError(f"key {key!r} is none of the published GRU's")
    return f"layers.{found[2]}.{1 if found[3] else 0}.{found[1]}_l0"


def _image_key(key: str) -> str:
    found = re.fullmatch(r"(conv\dm?)(?:\.0)?\.(weight|bias)", key)
    if not found or found[1] not in _IMAGE:
        raise CheckpointError(f"key {key!r} is none of the published HCN's")
    return f"{_IMAGE[found[1]]}.{found[2]}"


def _graph_state(state: Mapping[str, Tensor]) -> State:
    """Ours; the convolutions of the graph's three subsets are one, their tensors stacked."""
    stacked: dict[str, dict[str, Tensor]] = {}
    for key, value in state.items():
        ours, _, number = _graph_key(key).partition(" ")
        stacked.setdefault(ours, {})[number] = value
    return {ours: _joined(ours, parts) for ours, parts in stacked.items()}


def _joined(name: str, parts: Mapping[str, Tensor]) -> Tensor:
    """The parts one after the other in the order of their names; a single one as it is."""
    if len({part.shape for part in parts.values()}) > 1:
        raise CheckpointError(f"the parts of {name} differ in shape")
    each = [parts[part] for part in sorted(parts)]
    return torch.cat(each) if len(each) > 1 else each[0]


def _graph_key(key: str) -> str:
    if found := re.fullmatch(r"data_bn\.(\w+)", key):
        return f"input_norm.{found[1]}"
    if found := _BLOCK.fullmatch(key):
        for pattern, ours in _GRAPH:
            if inner := re.fullmatch(pattern, found[2]):
                return f"blocks.{int(found[1]) - 1}.{inner.expand(ours)}"
    raise CheckpointError(f"key {key!r} is none of the published A-GCN's")


def _sizes(encoder: Mapping[str, Tensor], name: str, width: int) -> dict[str, int]:
    """What an encoder's tensors and the width of its features say of the settings."""
    try:
        if name == "sequence":
            hidden = encoder["layers.0.0.weight_hh_l0"].shape[1]
            _require_input(encoder["layers.0.0.weight_ih_l0"].shape[1])
            return {"gru_hidden": hidden, "gru_layers": len({k.split(".")[1] for k in encoder})}
        if name == "graph":
            _require_input(len(encoder["input_norm.weight"]))
            return {"agcn_channels": len(encoder["blocks.0.temporal.weight"])}
        channels = len(encoder["position.0.weight"])
        _require_input(6 * encoder["position.4.weight"].shape[1])
        frames = width * POOLED // (4 * channels * (channels // POOLED))
        return {"hcn_channels": channels, "frames": frames}
    except KeyError as error:
        raise CheckpointError(f"the encoder's key {error} is missing") from None


def _require_input(numbers: int) -> None:
    expected = 6 * KINECT_V2.n_joints
    if numbers != expected:
        raise CheckpointError(
            f"an encoder reads {numbers} numbers a frame; published ones read {expected}, Kinect "
            "v2's 25 joints of two persons"
        )


def _data(classes: int | None) -> DataSpec:
    return DataSpec(skeleton=KINECT_V2, persons=2, coordinates=3, classes=classes)
