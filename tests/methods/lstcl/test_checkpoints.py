"""Both published files, made here by the specification, become one method."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from skelray.methods.lstcl.lstcl import LSTCL
from skelray.platform.errors import CheckpointError
from skelray.platform.published import load_published
from tests.methods.lstcl.published import original, save


def load(folder: Path, model1: dict[str, Tensor], model2: dict[str, Tensor]) -> LSTCL:
    method = load_published("lstcl", save(folder, model1, model2))
    assert isinstance(method, LSTCL)
    return method


def test_every_tensor_has_its_place(tmp_path: Path) -> None:
    model1, model2 = original(classes=120)
    method = load(tmp_path, model1, model2)
    assert method.data.classes == 120 and method.config.losses == "as_coded"
    assert (method.config.queue, method.config.video_queue) == (12, 6)
    assert method.config.residual_layout == "interleaved" and method.config.share_twice
    ours = method.state_dict()
    video = "video_encoder.mlp_"
    places = {
        "encoder.blocks.3.residual.1.running_var": model1["class_layer_3.residual.1.running_var"],
        "encoder.blocks.8.temporal.weight": model1["class_layer_8.tcn.2.weight"],
        "encoder.blocks.8.graph.edge_importance": model1["edge_importance.8"],
        "prediction.layers.5.second_norm.bias": model1["recon_layer_5.tcn.3.bias"],
        "prediction.key.graph.edge_importance": model1["edge_importance_recon.6"],
        "contrast.keys.pointer": torch.tensor(5),
        "contrast.keys.rows": model1["queue"].flatten(1),
        "links.encoder.mlp4.norm.running_mean": model2["encoder.mlp4.bn.running_mean"],
        "links.decoder.message2.1.bias": model2["decoder.msg_fc2.2.bias"],
        "video.branches.intra.key.projector.2.fc1.weight": model2[
            f"{video}intra_encode_k.2.fc1.weight"
        ],
        "video.branches.segments.query.expander.fc2.bias": model2[
            f"{video}segments_decode_q.fc2.bias"
        ],
        "video.order.projector.3.norm.weight": model2[f"{video}tsn_encode.3.bn.weight"],
        "video.order.head.weight": model2["video_encoder.tsn_fc.0.weight"],
        "video_contrast.segments.rows": model2["video_encoder.queue_video"].flatten(1),
    }
    for name, expected in places.items():
        assert torch.equal(ours[name], expected), name
    gates = torch.cat([model2[f"decoder.input_{gate}.weight"] for gate in "rin"])
    assert torch.equal(ours["links.decoder.input.weight"], gates)
    # what is used there, once: nothing is left out, nothing is as initialised
    unused = (
        2 * 9 * 25 * 25
        + 7 * 4 * 50
        + sum(value.numel() for key, value in model2.items() if ".msg_fc" in key and ".0." in key)
    )
    given = sum(v.numel() for v in (*model1.values(), *model2.values()) if v.is_floating_point())
    twice = 9 * 25 * 25  # the mask of both ends
    held = sum(value.numel() for value in ours.values() if value.is_floating_point())
    assert held == given - unused + twice


def test_a_transposed_convolution_becomes_a_plain_one(tmp_path: Path) -> None:
    model1, model2 = original()
    method = load(tmp_path, model1, model2)
    key = "recon_layer_6_encoder_q.gcn_recon.deconv"
    transposed = torch.nn.ConvTranspose2d(11, 330, 1)
    transposed.load_state_dict({n: model1[f"{key}.{n}"] for n in ("weight", "bias")})
    x = torch.randn(2, 11, 1, 25, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(method.prediction.query.graph.conv(x), transposed(x))


def as_gcn() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What AS-GCN's own files hold: one prediction layer, no queue, no video part."""
    model1, model2 = original()
    first = {
        key.replace("recon_layer_6_encoder_q.", "recon_layer_6."): value
        for key, value in model1.items()
        if not key.startswith(("recon_layer_6_encoder_k", "queue"))
    }
    return first, {k: v for k, v in model2.items() if not k.startswith("video_encoder.")}


def test_as_gcns_weights_are_read_too(tmp_path: Path) -> None:
    method = load(tmp_path, *as_gcn())
    assert not method.config.share_twice and len(method.encoder.order) == 9
    query, key = method.prediction.query.state_dict(), method.prediction.key.state_dict()
    assert all(torch.equal(query[name], key[name]) for name in query)


def test_import_is_strict(tmp_path: Path) -> None:
    model1, model2 = original()
    one = save(tmp_path, model1, model2)[:1]
    with pytest.raises(CheckpointError, match="both files of an epoch belong together"):
        load_published("lstcl", one)
    with pytest.raises(CheckpointError, match=r"'class_layer_9.gcn.conv.bias' is none of LSTCL's"):
        load(tmp_path, {**model1, "class_layer_9.gcn.conv.bias": torch.ones(1)}, model2)
    with pytest.raises(CheckpointError, match=r"'video_encoder.mlp_none' is none of the link"):
        load(tmp_path, model1, {**model2, "video_encoder.mlp_none": torch.ones(1)})
    without = {key: value for key, value in model1.items() if key != "recon_layer_2.tcn.2.bias"}
    with pytest.raises(CheckpointError, match=r"'prediction.layers.2.temporal.bias' is missing"):
        load(tmp_path, without, model2)
    gates = {key: value for key, value in model2.items() if key != "decoder.hidden_i.weight"}
    with pytest.raises(CheckpointError, match=r"'decoder.hidden_i.weight' is missing"):
        load(tmp_path, model1, gates)


def test_either_order_of_the_files_will_do(tmp_path: Path) -> None:
    files = save(tmp_path, *original())
    there, back = (load_published("lstcl", order).state_dict() for order in (files, files[::-1]))
    assert all(torch.equal(there[name], back[name]) for name in there)
