"""Checkpoints of zoranadozdor/SVdata2vec (`checkpoint-{E}.pth`, entry `model`) in our keys."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from skelray.platform.errors import CheckpointError
from skelray.platform.method import DataSpec, PublishedState
from skelray.platform.skeleton.specs import COCO, SMARTHOME15

_BLOCK = {
    "norm1": "norm1",
    "attn.qkv": "attention.qkv",
    "attn.proj": "attention.projection",
    "norm2": "norm2",
    "mlp.fc1": "mlp.0",
    "mlp.fc2": "mlp.2",
}
_RESIDUAL = {"conv": "conv", "bn": "norm", "relu": "activation"}
_WHOLE = {  # key, or module: ours
    "temp_embed": "position",
    "mask_token": "decoder.mask_token",
    "decoder_temp_embed": "decoder.position",
    "joints_embed.proj": "skeleton.projection",
    "feature_extractor_video.proj": "video.projection",
    "norm": "encoder.norm",
    "decoder_embed": "decoder.embedding",
    "decoder_norm": "decoder.transformer.norm",
    "decoder_pred": "decoder.prediction",
    "head.fc1": "head.linear1",
    "head.bn": "head.norm",
    "head.fc2": "head.linear2",
    "head.fc": "head.linear",
}
_RESNET = "feature_extractor_video.resnet."
_SKELETONS = {spec.n_joints: spec for spec in (COCO, SMARTHOME15)}
_SMARTHOME_CLASSES = (31, 19)


def translate(state: Mapping[str, Tensor], network: str) -> PublishedState:
    """A pretraining checkpoint, or a network with a head, of both modalities or pictures alone.

    CheckpointError names a key that belongs to neither. The number of attention heads does not
    show in any shape; published networks have 8, the default.
    """
    ours = {_key(key): value for key, value in state.items()}
    has_head = any(key.startswith("head.") for key in ours)
    if network == "classifier" and not has_head:
        raise CheckpointError("no head: this is no fine-tuned network, import it as 'pretrain'")
    if network != "classifier" and has_head:
        raise CheckpointError("it has a head: import it as 'classifier'")
    config = _config(ours)
    if network != "classifier":
        absent = "the original keeps no teacher: it is as initialised"
        return PublishedState(
            config=config, data=_data(ours, None), state=ours, absent={"teacher": absent}
        )
    last = ours.get("head.linear2.weight", ours.get("head.linear.weight"))
    if last is None:
        raise CheckpointError("the head has no last layer, head.fc2.weight or head.fc.weight")
    joint = any(key.startswith("skeleton.") for key in ours)
    return PublishedState(
        config=config,
        data=_data(ours, len(last)),
        state=ours,
        recipe="finetune" if "head.linear2.weight" in ours else "linear",
        output="skeleton_rgb" if joint else "rgb",
    )


def _key(key: str) -> str:
    """Our name of one of the original's tensors."""
    module, _, leaf = key.rpartition(".")
    if key in _WHOLE:
        return _WHOLE[key]
    if module in _WHOLE:
        return f"{_WHOLE[module]}.{leaf}"
    if found := re.fullmatch(r"(decoder_)?blocks\.(\d+)\.(.+)", module):
        part = "decoder.transformer" if found[1] else "encoder"
        if found[3] in _BLOCK:
            return f"{part}.blocks.{found[2]}.{_BLOCK[found[3]]}.{leaf}"
    if found := re.fullmatch(rf"{re.escape(_RESNET)}frontend3D\.(\d)", module):
        return f"video.resnet.stem.{found[1]}.{leaf}"
    if found := re.fullmatch(rf"{re.escape(_RESNET)}trunk\.layer([1-4])\.([01])\.(.+)", module):
        place = f"video.resnet.stages.{int(found[1]) - 1}.{found[2]}"
        if inner := re.fullmatch(r"(conv|bn|relu)([12])", found[3]):
            return f"{place}.{_RESIDUAL[inner[1]]}{inner[2]}.{leaf}"
        if inner := re.fullmatch(r"downsample\.([01])", found[3]):
            return f"{place}.shortcut.{inner[1]}.{leaf}"
    raise CheckpointError(f"key {key!r} is none of SV-data2vec's")


def _config(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """What the shapes say of the network."""
    try:
        frames, dim = state["position"].shape[1:]
        channels = len(state["video.resnet.stem.0.weight"])
        hidden = len(state["encoder.blocks.0.mlp.0.weight"])
    except KeyError as error:
        raise CheckpointError(f"the network's key {error} is missing") from None
    found = {
        "frames": frames,
        "dim": dim,
        "channels": channels,
        "mlp_ratio": hidden / dim,
        "depth": _depth(state, "encoder"),
    }
    decoder = _depth(state, "decoder.transformer")
    return {**found, "decoder_depth": decoder} if decoder else found


def _depth(state: Mapping[str, Tensor], part: str) -> int:
    pattern = re.compile(rf"{re.escape(part)}\.blocks\.(\d+)\.")
    return max((int(found[1]) + 1 for key in state if (found := pattern.match(key))), default=0)


def _data(state: Mapping[str, Tensor], classes: int | None) -> DataSpec:
    """What it was trained on: a network of pictures alone shows that by its classes at most."""
    skeleton = SMARTHOME15 if classes in _SMARTHOME_CLASSES else COCO
    if "skeleton.projection.weight" in state:
        joints = state["skeleton.projection.weight"].shape[-1]
        if joints not in _SKELETONS:
            raise CheckpointError(
                f"the skeleton tokens are of {joints} joints; published ones are of COCO's 17 or "
                "Smarthome's 15"
            )
        skeleton = _SKELETONS[joints]
    return DataSpec(skeleton=skeleton, persons=2, coordinates=skeleton.dimensions, classes=classes)
