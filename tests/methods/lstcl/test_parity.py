"""LSTCL against what the published networks gave for the same weights and inputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from skelray.methods.lstcl.links import (
    action_graphs,
    link_divergence,
    prediction_nll,
    sample_links,
)
from skelray.methods.lstcl.lstcl import LSTCL
from skelray.methods.lstcl.prediction import poses
from tests.methods.lstcl.published import assert_close, at, load

CASES = pytest.mark.parametrize("case", ["noise_zero", "noise_given"])


def bodies(x: Tensor) -> Tensor:
    """(N, 3, T, V, M) as rows (N * M, 3, T, V), person after person."""
    return torch.cat([x[n, ..., m][None] for n in range(len(x)) for m in range(x.shape[-1])])


def test_the_encoder_and_both_heads_equal_the_original(
    tmp_path: Path, golden: Callable[[str], Any]
) -> None:
    stored, method = golden("lstcl_encoder"), load(tmp_path, golden)
    plain, noisy = (stored.cases[f"noise_{name}"] for name in ("zero", "given"))
    inputs, expected, head = plain["inputs"], plain["outputs"], method.prediction
    x, action, structure = bodies(inputs["x"]), inputs["A_act"], method.encoder.structure
    last = bodies(inputs["x_last"])[:, :, 0]
    first_block: list[Tensor] = []
    method.encoder.blocks[0].register_forward_hook(lambda *call: first_block.append(call[2]))
    method.before_step(at("encoder"))  # as coded the key moves in evaluation too

    def predicted(end: torch.nn.Module, code: Tensor) -> Tensor:
        offsets = head.offsets(end, code, last, structure, action)
        return poses(offsets, last, "interleaved")[::2]

    with torch.no_grad():
        features = method.encoder(x, action)
        code = head.code(features, structure, action)
        noise = 0.1**0.5 * noisy["inputs"]["key_noise"]
        pooled = features.mean((2, 3))
        together = pooled.unflatten(0, (-1, 2)).mean(1)
        assert_close(predicted(head.query, code), expected["pred"])
        assert_close(predicted(head.key, code), expected["pred_key"])
        assert_close(predicted(head.key, code + noise), noisy["outputs"]["pred_key"])
        assert_close(method.recognition(together), expected["logits"])
    assert_close(first_block[0][:, ::8, ::29, ::3], expected["h0_slice"])
    assert_close(features[:, ::4, ::12, ::3], expected["h8_slice"])
    assert_close(pooled, expected["feature_per_body"])
    assert_close(together, expected["feature"])
    assert_close(code, expected["r5"])
    assert_close(head.key.graph.conv.bias, expected["key_deconv_bias_after"])
    assert_close(head.key.second_norm.weight, expected["key_bn_weight_after"])


def of_links(method: LSTCL, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    clips = bodies(inputs["x"]).permute(0, 3, 2, 1)
    logits = method.links.encoder(clips)
    links = sample_links(logits, inputs.get("gumbel_uniform"))
    pred = method.links.decoder(clips, links)
    return {
        "logits": logits,
        "prob": logits.softmax(-1),
        "edge_argmax": links.argmax(-1),
        "A_act": action_graphs(links, 25),
        "pred": pred,
        "loss_nll": prediction_nll(pred, clips).mean(),
        "loss_kl": link_divergence(logits, 25).mean(),
    }


@CASES
def test_the_links_and_their_losses_equal_the_original(
    tmp_path: Path, golden: Callable[[str], Any], case: str
) -> None:
    stored, method = golden("lstcl_aim"), load(tmp_path, golden)
    given, expected = stored.cases[case]["inputs"], stored.cases[case]["outputs"]
    found = of_links(method, given)
    for name, value in found.items():
        assert_close(value.detach(), expected[name])
    if case == "noise_zero":
        graphs = method.links.encoder.graphs(bodies(given["x"]).permute(0, 3, 2, 1))
        assert_close(graphs.detach(), expected["A_act"])


@CASES
def test_gradients_of_the_links_equal_the_original(
    tmp_path: Path, golden: Callable[[str], Any], case: str
) -> None:
    stored, method = golden("lstcl_aim"), load(tmp_path, golden)
    found = of_links(method, stored.cases[case]["inputs"])
    (found["loss_nll"] + found["loss_kl"]).backward()
    norms = dict(
        zip(
            stored.meta["grad_names"].split("\n"),
            stored.cases[case]["outputs"]["grad_norms"],
            strict=True,
        )
    )
    decoder = method.links.decoder
    gates = {"r": 0, "i": 1, "n": 2}
    for name, norm in norms.items():
        part, module, leaf = name.split(".")[0], name.split(".")[1], name.split(".")[-1]
        if module.startswith(("hidden_", "input_")):
            layer = decoder.hidden if module.startswith("hidden") else decoder.input
            gradient = layer.get_parameter(leaf).grad.chunk(3)[gates[module[-1]]]
        else:
            ours = name.replace("bn", "norm").replace("fc_out", "out").replace("out_fc", "out")
            if "msg_fc" in name:
                _, layer, kind, _ = name.split(".")
                ours = f"decoder.message{layer[-1]}.{int(kind) - 1}.{leaf}"
            gradient = method.links.get_parameter(ours).grad
        assert part in ("encoder", "decoder") and gradient is not None
        assert_close(gradient.norm(), norm, 2e-5)


def test_the_structural_graph_is_the_originals(
    tmp_path: Path, golden: Callable[[str], Any]
) -> None:
    """What is imported is what would be built."""
    method = load(tmp_path, golden)
    built = LSTCL(method.config, method.data)
    assert_close(built.encoder.structure, method.encoder.structure, 1e-7)
