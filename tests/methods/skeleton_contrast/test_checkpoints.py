"""Published checkpoints, made here by the specification, come back as they were."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from skelray.methods.skeleton_contrast.skeleton_contrast import SkeletonContrast
from skelray.platform.errors import CheckpointError
from skelray.platform.published import load_published
from tests.conftest import golden_weight
from tests.methods.skeleton_contrast.published import (
    PROJECTED,
    QUEUE,
    SHAPES,
    WIDTHS,
    elements,
    graph_shapes,
    head_shapes,
    image_shapes,
    pretrained,
    save,
    sequence_shapes,
)

NAMES = {"sequence": "bigru", "graph": "agcn", "image": "hcn"}
PAIRS = (("sequence", "graph"), ("sequence", "image"), ("graph", "image"))


def load(tmp_path: Path, state: dict[str, torch.Tensor]) -> SkeletonContrast:
    method = load_published("skeleton_contrast", save(tmp_path, state))
    assert isinstance(method, SkeletonContrast) and not method.training
    return method


@pytest.mark.parametrize("representation", SHAPES)
def test_the_keys_are_those_of_the_published_encoders(
    representation: str, golden: Callable[[str], Any]
) -> None:
    sizes = {"sequence": (1024, 3), "graph": (64,), "image": (64,)}[representation]
    stored = golden(f"skeleton_contrast_{NAMES[representation]}").shapes
    widths = {"sequence": 2048, "graph": 256, "image": 4096}
    head = {"fc.weight": [60, widths[representation]], "fc.bias": [60]}
    assert SHAPES[representation](*sizes) | head == stored


@pytest.mark.parametrize(
    ("names", "entries"),
    [
        (("sequence",), 58),
        (("graph",), 710),
        (("image",), 50),
        (("sequence", "graph"), 768),
        (("sequence", "image"), 108),
        (("graph", "image"), 760),
    ],
)
def test_the_number_of_entries_is_that_of_the_original(
    names: tuple[str, ...], entries: int
) -> None:
    """The specification's numbers, which are of three layers of the GRU."""
    further = 16 if "sequence" in names else 0  # the third layer's, of query and key
    assert len(pretrained(*names)) + further == entries


@pytest.mark.parametrize("names", [("sequence",), ("graph",), ("image",), *PAIRS])
def test_a_pretraining_checkpoint_comes_back(names: tuple[str, ...], tmp_path: Path) -> None:
    state = pretrained(*names)
    method = load(tmp_path, state)
    config = method.config
    assert config.representations == names and list(method.outputs) == list(names)
    assert (config.queue, config.projection_dim) == (QUEUE, PROJECTED)
    found = {"sequence": config.gru_hidden, "graph": config.agcn_channels}
    expected = {"sequence": 4, "graph": 4}
    assert all(found[name] == expected[name] for name in names if name in found)
    if "image" in names:
        assert (config.hcn_channels, config.frames) == (16, 16)
    ours = method.state_dict()
    # the original does not say how far its queue is filled
    counted = {key: value for key, value in ours.items() if not key.endswith("filled")}
    assert elements(counted) == elements(state)
    total, theirs = (
        sum(float(v.double().sum() + v.double().square().sum()) for v in one.values())
        for one in (counted, state)
    )
    assert total == pytest.approx(theirs)
    for number, (name, letters) in enumerate(zip(names, ("qk", "rl"), strict=False)):
        contrast = method.each()[name]
        end = f"_S{number + 1}" if len(names) > 1 else ""
        queue = state[f"Queue{end}" if end else "queue"]
        assert torch.equal(contrast.queue.features, queue.T)
        assert int(contrast.queue.pointer) == int(state[f"queue_ptr{end}"])
        assert int(contrast.queue.filled) == QUEUE
        for letter, part in zip(letters, (contrast.projector, contrast.key_projector), strict=True):
            assert torch.equal(part[2].weight, state[f"encoder_{letter}.fc.2.weight"])


def test_every_tensor_finds_its_place(tmp_path: Path) -> None:
    gru, graph, image = (
        method.each()[name]
        for method, name in (
            (load(tmp_path, pretrained("sequence")), "sequence"),
            (load(tmp_path, pretrained("sequence", "graph")), "graph"),
            (load(tmp_path, pretrained("graph", "image")), "image"),
        )
    )
    state = pretrained("sequence")
    for cell, end in ((0, ""), (1, "_reverse")):
        expected = state[f"encoder_k.encoder.gru.weight_hh_l1{end}"]
        assert torch.equal(gru.key_encoder.layers[1][cell].weight_hh_l0, expected)
    state = pretrained("sequence", "graph")
    layer = graph.key_encoder.blocks[4].graph
    parts = [state[f"encoder_l.l5.gcn1.conv_{a}.{i}.weight"] for a in "ab" for i in range(3)]
    assert torch.equal(layer.embedding.weight, torch.cat(parts))
    parts = [state[f"encoder_l.l5.gcn1.conv_d.{i}.bias"] for i in range(3)]
    assert torch.equal(layer.conv.bias, torch.cat(parts))
    residual = graph.encoder.blocks[7].residual
    assert torch.equal(residual[1].running_var, state["encoder_r.l8.residual.bn.running_var"])
    state = pretrained("graph", "image")
    assert torch.equal(image.encoder.motion[6].weight, state["encoder_r.conv4m.0.weight"])
    assert torch.equal(image.encoder.position[2].bias, state["encoder_r.conv2.bias"])
    assert torch.equal(image.encoder.merged[4].weight, state["encoder_r.conv6.0.weight"])


@pytest.mark.parametrize("representation", SHAPES)
def test_classifiers_come_back(representation: str, tmp_path: Path) -> None:
    shapes = SHAPES[representation]()
    shapes |= {"fc.weight": [7, WIDTHS[representation]], "fc.bias": [7]}
    state = {key: golden_weight(key, shape) for key, shape in shapes.items()}
    files = save(tmp_path, state, best_acc1=torch.tensor(52.5))
    classifier = load_published("skeleton_contrast", files, "classifier")
    assert classifier.output == representation
    assert torch.equal(classifier.head.weight, state["fc.weight"])
    assert elements(classifier.state_dict()) == elements(state)


def without(state: dict[str, Any], *prefixes: str) -> dict[str, Any]:
    return {key: value for key, value in state.items() if not key.startswith(prefixes)}


BOTH = pretrained("sequence", "graph")
IMAGE = pretrained("image")
EXTRA = torch.ones(1)


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (BOTH | {"Queue_S3": EXTRA}, "key 'Queue_S3' is none of Skeleton-Contrast's pretraining"),
        (BOTH | {"encoder_q.encoder.lstm.bias": EXTRA}, "'encoder.lstm.bias' is none of .* GRU's"),
        (BOTH | {"encoder_r.l11.gcn1.PA": EXTRA}, r"blocks\.10\.graph\.edges' is unknown"),
        (BOTH | {"encoder_r.l1.gcn1.PB": EXTRA}, "'l1.gcn1.PB' is none of the published A-GCN's"),
        (IMAGE | {"encoder_q.conv9.bias": EXTRA}, "'conv9.bias' is none of the published HCN's"),
        (without(BOTH, "encoder_l.l3.gcn1.bn.bias"), r"blocks\.2\.graph\.norm\.bias' is missing"),
        (without(BOTH, "encoder_l.l3.gcn1.conv_a.1.w"), r"embedding\.weight' has shape \(5, 4, 1"),
        (BOTH | {"encoder_l.l3.gcn1.conv_a.1.weight": EXTRA}, r"parts of blocks\.2\.graph\.embed"),
        (without(BOTH, "encoder_k."), r"contrasts\.sequence\.key_encoder.* is missing"),
        (without(BOTH, "encoder_q."), "no encoder_q: this is no checkpoint of pretraining"),
        (without(BOTH, "encoder_r."), "keys of the second representation, but no encoder_r"),
        (without(BOTH, "Queue_S1"), "no queue: this is no checkpoint of pretraining"),
        (without(BOTH, "encoder_r.fc."), "no projector .* of representation graph"),
        (without(BOTH, "encoder_q.encoder"), "an encoder is none of the published GRU, A-GCN and"),
        (
            without(IMAGE, "encoder_q.fc") | {"encoder_q.fc.weight": EXTRA},
            "pretrained without the option --mlp",
        ),
        (without(IMAGE, "encoder_q.conv3.0"), r"key 'position\.4\.weight' is missing"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(
    state: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=rf"checkpoint_0450\.pth\.tar: .*{said}") as error:
        load(tmp_path, state)
    assert "\n" not in str(error.value)


def test_another_skeleton_and_another_network_are_refused(tmp_path: Path) -> None:
    state = pretrained("graph")
    for letter in "qk":
        for name in ("weight", "bias", "running_mean", "running_var"):
            state[f"encoder_{letter}.data_bn.{name}"] = torch.ones(75)
    with pytest.raises(CheckpointError, match="reads 75 numbers a frame; published ones read 150"):
        load(tmp_path, state)
    with pytest.raises(CheckpointError, match=r"no fc.weight: this is no checkpoint of linear"):
        load_published("skeleton_contrast", save(tmp_path, BOTH), "classifier")


def test_shapes_are_of_the_sizes_named() -> None:
    """What the tests above take for granted of their own checkpoints."""
    assert sequence_shapes(4)["encoder.gru.weight_hh_l0"][1] == 4 == WIDTHS["sequence"] // 2
    assert graph_shapes()["l10.tcn1.bn.bias"] == [WIDTHS["graph"]]
    assert image_shapes()["conv6.0.bias"] == [WIDTHS["image"]]
    assert head_shapes(8)["fc.2.weight"] == [PROJECTED, 8]
