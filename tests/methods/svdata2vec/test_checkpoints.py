"""Published checkpoints, made here by the specification, come back as they were."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from skelray.methods.svdata2vec.classifier import ClipClassifier, FineTuneHead
from skelray.methods.svdata2vec.svdata2vec import SVData2vec
from skelray.platform.errors import CheckpointError
from skelray.platform.published import load_published
from skelray.platform.skeleton.specs import COCO, SMARTHOME15
from tests.conftest import golden_weight
from tests.methods.svdata2vec.published import save

NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
SIZES = {"dim": 16, "depth": 2, "decoder_depth": 1, "channels": 4, "frames": 12, "joints": 17}


def linear(key: str, before: int, after: int) -> dict[str, list[int]]:
    return {f"{key}.weight": [after, before], f"{key}.bias": [after]}


def norm(key: str, width: int, names: tuple[str, ...] = NORM) -> dict[str, list[int]]:
    return {f"{key}.{name}": [] if "num" in name else [width] for name in names}


def block(key: str, dim: int) -> dict[str, list[int]]:
    return {
        **norm(f"{key}.norm1", dim, NORM[:2]),
        **linear(f"{key}.attn.qkv", dim, 3 * dim),
        **linear(f"{key}.attn.proj", dim, dim),
        **norm(f"{key}.norm2", dim, NORM[:2]),
        **linear(f"{key}.mlp.fc1", dim, 4 * dim),
        **linear(f"{key}.mlp.fc2", 4 * dim, dim),
    }


def resnet(width: int) -> Iterator[tuple[str, list[int]]]:
    place = "feature_extractor_video.resnet"
    yield f"{place}.frontend3D.0.weight", [width, 3, 5, 7, 7]
    yield from norm(f"{place}.frontend3D.1", width).items()
    yield f"{place}.frontend3D.2.weight", [width]
    before = width
    for stage in range(4):
        after = width * 2**stage
        for number in range(2):
            key = f"{place}.trunk.layer{stage + 1}.{number}"
            for conv in (1, 2):
                yield f"{key}.conv{conv}.weight", [after, before if conv == 1 else after, 3, 3]
                yield from norm(f"{key}.bn{conv}", after).items()
                yield f"{key}.relu{conv}.weight", [after]
            if before != after:
                yield f"{key}.downsample.0.weight", [after, before, 1, 1]
                yield from norm(f"{key}.downsample.1", after).items()
            before = after


def shapes(what: str, **changes: int) -> dict[str, list[int]]:
    """Section 4.10: `pretrain`, `joint` and `rgb` (fine-tuned), `probe`."""
    sizes = {**SIZES, **changes}
    dim, frames, width = sizes["dim"], sizes["frames"], sizes["channels"]
    found = {"temp_embed": [1, frames, dim], **dict(resnet(width))}
    found |= linear("feature_extractor_video.proj", 8 * width, dim)
    found |= norm("norm", dim, NORM[:2])
    for number in range(sizes["depth"]):
        found |= block(f"blocks.{number}", dim)
    if what != "rgb":
        found |= {"joints_embed.proj.weight": [dim, 4, 1, sizes["joints"]]}
        found |= {"joints_embed.proj.bias": [dim]}
    if what == "pretrain":
        found |= {"mask_token": [1, 1, dim], "decoder_temp_embed": [1, frames, dim]}
        for number in range(sizes["decoder_depth"]):
            found |= block(f"decoder_blocks.{number}", dim)
        found |= linear("decoder_embed", dim, dim) | linear("decoder_pred", dim, dim)
        found |= norm("decoder_norm", dim, NORM[:2])
    elif what == "probe":
        found |= linear("head.fc", dim, 5)
    else:
        found |= linear("head.fc1", dim, 2048) | norm("head.bn", 2048)
        found |= linear("head.fc2", 2048, sizes.get("classes", 5))
    return found


def state_of(what: str, **changes: int) -> dict[str, Tensor]:
    return {key: golden_weight(key, shape) for key, shape in shapes(what, **changes).items()}


def values(state: dict[str, Tensor]) -> list[float]:
    """Of every tensor something that tells it from the others, in an order without names."""
    return sorted(
        float(value.double().sum() + value.double().square().sum()) for value in state.values()
    )


def test_the_keys_are_those_of_the_published_network(golden: Any) -> None:
    stored = {k: v for k, v in golden("svdata2vec_pretrain").shapes.items() if "teacher." not in k}
    whole = {"dim": 256, "depth": 8, "decoder_depth": 3, "channels": 64, "frames": 40}
    assert shapes("pretrain", **whole) == stored


def test_a_pretraining_checkpoint_comes_back(tmp_path: Path) -> None:
    state = state_of("pretrain")
    method = load_published("svdata2vec", save(tmp_path, state), heads=2)
    assert isinstance(method, SVData2vec) and not method.training
    config = method.config
    found = {name: getattr(config, name) for name in SIZES if name != "joints"}
    assert found == {name: size for name, size in SIZES.items() if name != "joints"}
    assert config.mlp_ratio == 4 and method.data.skeleton is COCO
    ours = {k: v for k, v in method.state_dict().items() if not k.startswith("teacher.")}
    assert len(ours) == len(state) and values(ours) == values(state)
    assert torch.equal(method.position, state["temp_embed"])
    assert torch.equal(method.encoder.blocks[1].mlp[2].weight, state["blocks.1.mlp.fc2.weight"])
    shortcut = method.video.resnet.stages[1][0].shortcut
    key = "feature_extractor_video.resnet.trunk.layer2.0.downsample.1.running_var"
    assert torch.equal(shortcut[1].running_var, state[key])


@pytest.mark.parametrize(
    ("what", "output", "changes", "spec"),
    [
        ("joint", "skeleton_rgb", {}, COCO),
        ("joint", "skeleton_rgb", {"joints": 15}, SMARTHOME15),
        ("rgb", "rgb", {}, COCO),
        ("rgb", "rgb", {"classes": 31}, SMARTHOME15),
        ("probe", "skeleton_rgb", {}, COCO),
    ],
)
def test_classifiers_come_back(
    what: str, output: str, changes: dict[str, int], spec: Any, tmp_path: Path
) -> None:
    state = state_of(what, **changes)
    classifier = load_published("svdata2vec", save(tmp_path, state), "classifier", heads=2)
    assert isinstance(classifier, ClipClassifier) and classifier.output == output
    assert len(classifier.state_dict()) == len(state)
    assert values(classifier.state_dict()) == values(state)
    assert isinstance(classifier.head, FineTuneHead) == (what != "probe")
    translated = SVData2vec.published([state], "classifier")
    assert translated.data.skeleton is spec
    assert translated.data.classes == changes.get("classes", 5)


@pytest.mark.parametrize(
    ("what", "network", "change", "said"),
    [
        ("pretrain", "pretrain", {"blocks.0.attn.rel": None}, "key 'blocks.0.attn.rel' is none of"),
        ("pretrain", "pretrain", {"pos_embed": None}, "key 'pos_embed' is none of SV-data2vec's"),
        ("pretrain", "pretrain", {"-mask_token": None}, "key 'decoder.mask_token' is missing"),
        ("pretrain", "pretrain", {"-temp_embed": None}, "network's key 'position' is missing"),
        ("pretrain", "classifier", {}, "no head: this is no fine-tuned network, import it as"),
        ("joint", "pretrain", {}, "it has a head: import it as 'classifier'"),
        ("joint", "classifier", {"-head.bn.bias": None}, "key 'head.norm.bias' is missing"),
        ("joint", "classifier", {"-head.fc2.weight": None}, "the head has no last layer"),
        ("rgb", "classifier", {"mask_token": None}, "'decoder.mask_token' is unknown"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(
    what: str, network: Any, change: dict[str, None], said: str, tmp_path: Path
) -> None:
    state = state_of(what)
    for key in change:
        if key.startswith("-"):
            del state[key[1:]]
        else:
            state[key] = torch.ones(1)
    with pytest.raises(CheckpointError, match=rf"checkpoint-399\.pth: .*{said}") as error:
        load_published("svdata2vec", save(tmp_path, state), network, heads=2)
    assert "\n" not in str(error.value)


def test_skeletons_of_other_joints_are_refused(tmp_path: Path) -> None:
    files = save(tmp_path, state_of("pretrain", joints=25))
    with pytest.raises(CheckpointError, match="of 25 joints; published ones are of COCO's 17"):
        load_published("svdata2vec", files)
