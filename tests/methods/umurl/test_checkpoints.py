"""Published checkpoints, made here by the specification, come back as they were."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from skelray.methods.umurl.umurl import OutputClassifier, UmURL
from skelray.platform.errors import CheckpointError
from skelray.platform.published import load_published
from skelray.platform.skeleton.specs import KINECT_V2
from tests.methods.umurl.published import save, shapes, state_of

PLACES = {
    "backbone.b_emb.s_embedding.1.bias": "encoder.spatial.embeddings.bone.1.bias",
    "backbone.j_emb.t_embedding.0.weight": "encoder.temporal.embeddings.joint.0.weight",
    "backbone.mm_fusion.s_fusion.0.weight": "encoder.spatial.fusion.weight",
    "backbone.ma_encoder.t_tr.layers.1.norm2.bias": (
        "encoder.temporal.transformer.layers.1.norm2.bias"
    ),
    "backbone.ma_encoder.s_tr.layers.0.self_attn.in_proj_weight": (
        "encoder.spatial.transformer.layers.0.self_attn.in_proj_weight"
    ),
    "m_projector.4.running_var": "projectors.motion.4.running_var",
    "j_projector.6.bias": "projectors.joint.6.bias",
}


def test_the_keys_are_those_of_the_published_network(golden: Callable[[str], Any]) -> None:
    stored = golden("umurl_encoder")
    assert shapes(dim=1024, frames=64, classes=60) == stored.shapes
    assert len(shapes()) + 1 == 111
    assert list(stored.fixed) == ["backbone.ma_encoder.pe.pe"]


def test_a_pretraining_checkpoint_comes_back(tmp_path: Path) -> None:
    state = state_of(depth=2)
    method = load_published("umurl", save(tmp_path, state))
    assert isinstance(method, UmURL) and not method.training
    config = method.config
    assert (config.dim, config.frames, config.projection_dim, config.depth) == (8, 16, 12, 2)
    assert method.data.skeleton is KINECT_V2 and method.data.persons == 2
    ours = method.state_dict()
    assert len(ours) == len(state) - 1
    for theirs, place in PLACES.items():
        assert torch.equal(ours[place], state[theirs]), place


def test_a_classifier_comes_back(tmp_path: Path) -> None:
    state = state_of(classes=5)
    classifier = load_published("umurl", save(tmp_path, state), "classifier")
    assert isinstance(classifier, OutputClassifier) and classifier.output == "fused"
    ours = classifier.state_dict()
    assert len(ours) == len(state) - 1
    assert torch.equal(ours["head.weight"], state["fc.weight"])
    for theirs, place in PLACES.items():
        if theirs in state:
            assert torch.equal(ours[place], state[theirs]), place


@pytest.mark.parametrize(
    ("sizes", "network", "change", "said"),
    [
        (
            {},
            "pretrain",
            {"backbone.s_emb.1.bias": torch.ones(1)},
            "'backbone.s_emb.1.bias' is none",
        ),
        ({}, "pretrain", {"b_projector.3.bias": None}, "'projectors.bone.3.bias' is missing"),
        ({}, "pretrain", {"j_projector.6.weight": None}, "this is no pretraining checkpoint"),
        ({}, "pretrain", {"backbone.ma_encoder.pe.pe": None}, "ma_encoder.pe.pe' is missing"),
        (
            {},
            "pretrain",
            {"backbone.ma_encoder.pe.pe": torch.zeros(1, 200, 8)},
            "are not the sines and cosines",
        ),
        ({}, "pretrain", {"backbone.j_emb.t_embedding.0.weight": None}, "key .* is missing"),
        (
            {},
            "pretrain",
            {"backbone.j_emb.t_embedding.0.weight": torch.zeros(8, 75)},
            "75 numbers; published networks read two persons",
        ),
        ({}, "classifier", {}, "this is no classifier, import it as 'pretrain'"),
        ({"classes": 5}, "pretrain", {}, "fc.weight: import it as 'classifier'"),
        ({"classes": 5}, "classifier", {"fc.bias": None}, "key 'head.bias' is missing"),
        (
            {"classes": 5},
            "classifier",
            {"j_projector.0.bias": torch.ones(16)},
            "'projectors.joint.0.bias' is unknown",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(
    sizes: dict[str, int], network: Any, change: dict[str, Any], said: str, tmp_path: Path
) -> None:
    state = {**state_of(**sizes), **change}
    files = save(tmp_path, {key: value for key, value in state.items() if value is not None})
    with pytest.raises(CheckpointError, match=rf"checkpoint_0450\.pth\.tar: .*{said}") as error:
        load_published("umurl", files, network)
    assert "\n" not in str(error.value)
