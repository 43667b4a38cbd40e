"""SkeletonCLR against what the published implementation gave for the same weights and inputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from skelray.methods.crossclr.skeletonclr import SkeletonCLR
from skelray.platform.errors import CheckpointError
from skelray.platform.method import Progress
from skelray.platform.published import load_published
from tests.methods.crossclr.published import assert_close, save

PROGRESS = Progress(phase="pretrain", epoch=0, epochs=1, step=0, step_in_epoch=0, steps_per_epoch=1)


def load(tmp_path: Path, stored: Any, case: str, **config: Any) -> SkeletonCLR:
    inputs = stored.cases[case]["inputs"]
    state = stored.state() | {name: inputs[name] for name in ("queue", "queue_ptr")}
    method = load_published("skeletonclr", save(tmp_path, state), **config)
    assert isinstance(method, SkeletonCLR)
    return method


@pytest.mark.parametrize("case", ["eval_single", "train_dropout0_single"])
def test_one_step_equals_the_original(
    tmp_path: Path, golden: Callable[[str], Any], case: str
) -> None:
    stored = golden("crossclr_skeletonclr")
    training = case.startswith("train")
    method = load(tmp_path, stored, case, dropout=0.0 if training else 0.5)
    inputs, outputs = stored.cases[case]["inputs"], stored.cases[case]["outputs"]
    # with batch statistics of four clips float32 rounding is amplified: compare in float64
    dtype = torch.float64 if training else torch.float32
    method.to(dtype).train(training)

    method.before_step(PROGRESS)
    step = method({"query": inputs["im_q"].to(dtype), "key": inputs["im_k"].to(dtype)}, PROGRESS)

    stream, tolerance = method.streams[0], 1e-5
    assert_close(step.trace["z:query/joint"], outputs["z:encoder_q"], tolerance)
    assert_close(step.trace["z:key/joint"], outputs["z:encoder_k"], tolerance)
    assert_close(step.trace["logits"], outputs["logits"], tolerance)
    assert_close(step.loss.detach(), outputs["loss_total"], tolerance)
    if training:
        step.loss.backward()
        gradients = {
            "data_bn.weight": stream.encoder.input_norm.weight,
            "fc.0.bias": stream.projector[0].bias,
            "fc.2.bias": stream.projector[2].bias,
            "edge_importance.5": stream.encoder.blocks[5].graph.edge_importance,
        }
        for name, parameter in gradients.items():
            assert_close(parameter.grad, outputs[f"grad:encoder_q.{name}"], 2e-5)
    method.after_step(step.carry, PROGRESS)
    after = {
        "data_bn.weight": stream.key_encoder.input_norm.weight,
        "fc.0.bias": stream.key_projector[0].bias,
        "fc.2.bias": stream.key_projector[2].bias,
        "edge_importance.5": stream.key_encoder.blocks[5].graph.edge_importance,
    }
    for name, parameter in after.items():
        assert_close(parameter, outputs[f"after:encoder_k.{name}"])
    assert_close(stream.queue.features.T, outputs["after:queue"], tolerance)
    assert int(stream.queue.pointer) == int(outputs["after:queue_ptr"])


def test_classifier_equals_the_original(tmp_path: Path, golden: Callable[[str], Any]) -> None:
    stored = golden("crossclr_encoder_c16")
    classifier = load_published("skeletonclr", save(tmp_path, stored.state()), "classifier")
    for case in ("eval", "eval_T64"):
        x = stored.cases[case]["inputs"]["x"]
        with torch.no_grad():
            assert_close(classifier({"joint": x}), stored.cases[case]["outputs"]["logits"])


def test_import_is_strict(tmp_path: Path, golden: Callable[[str], Any]) -> None:
    state = golden("crossclr_encoder_c16").state()
    missing = {k: v for k, v in state.items() if k != "data_bn.weight"}
    with pytest.raises(CheckpointError, match=r"input_norm\.weight.* is missing"):
        load_published("skeletonclr", save(tmp_path, missing), "classifier")
    with pytest.raises(CheckpointError, match="'extra' is none of"):
        load_published(
            "skeletonclr", save(tmp_path, {**state, "extra": torch.ones(1)}), "classifier"
        )


def test_weights_of_another_stream_are_imported_as_such(
    tmp_path: Path, golden: Callable[[str], Any]
) -> None:
    method = load(tmp_path, golden("crossclr_skeletonclr"), "eval_single", stream="motion")
    assert list(method.outputs) == ["motion"]
