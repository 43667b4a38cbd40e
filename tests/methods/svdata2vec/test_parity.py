"""SV-data2vec against what the published implementation gave for the same weights and inputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from skelray.methods.svdata2vec.svdata2vec import SVData2vec
from skelray.platform.method import Step
from skelray.platform.published import load_published
from tests.methods.svdata2vec.published import (
    NOW,
    assert_close,
    load_teacher,
    of_the_student,
    save,
    views_of,
)

GRADIENTS = {
    "temp_embed": "position",
    "mask_token": "decoder.mask_token",
    "joints_embed.proj.weight": "skeleton.projection.weight",
    "feature_extractor_video.proj.weight": "video.projection.weight",
    "feature_extractor_video.resnet.frontend3D.0.weight": "video.resnet.stem.0.weight",
    "blocks.0.attn.qkv.weight": "encoder.blocks.0.attention.qkv.weight",
    "blocks.7.mlp.fc2.weight": "encoder.blocks.7.mlp.2.weight",
    "decoder_pred.weight": "decoder.prediction.weight",
    "decoder_temp_embed": "decoder.position",
}


def load(tmp_path: Path, stored: Any, **config: Any) -> SVData2vec:
    state = stored.state()
    method = load_published("svdata2vec", save(tmp_path, of_the_student(state)), **config)
    assert isinstance(method, SVData2vec)
    load_teacher(method, state)
    return method


def step_of(method: SVData2vec, stored: Any, case: str) -> tuple[Step, dict[str, Tensor]]:
    """In float64 where the statistics of a batch of two amplify float32's rounding."""
    training = case == "ntu_train"
    dtype = torch.float64 if training else torch.float32
    method.to(dtype).train(training)
    views = views_of(stored.cases["ntu_eval"]["inputs"], dtype)
    return method(views, NOW), stored.cases[case]["outputs"]


@pytest.mark.parametrize("case", ["ntu_eval", "ntu_train"])
def test_a_step_equals_the_original(
    tmp_path: Path, golden: Callable[[str], Any], case: str
) -> None:
    stored = golden("svdata2vec_pretrain")
    step, outputs = step_of(load(tmp_path, stored), stored, case)
    assert torch.equal(step.trace["predicted"].float(), outputs["mask"])
    assert torch.equal(step.trace["restore"], outputs["ids_restore"])
    for ours, theirs in (("target", "target"), ("latent", "latent"), ("prediction", "pred")):
        assert_close(step.trace[ours], outputs[theirs])
    assert_close(step.loss, outputs["loss"])


@pytest.mark.parametrize("checkpointed", [False, True])
def test_gradients_equal_the_original(
    tmp_path: Path, golden: Callable[[str], Any], checkpointed: bool
) -> None:
    stored = golden("svdata2vec_pretrain")
    method = load(tmp_path, stored, checkpoint_activations=checkpointed)
    step, outputs = step_of(method, stored, "ntu_train")
    step.loss.backward()
    for theirs, ours in GRADIENTS.items():
        gradient = method.get_parameter(ours).grad
        assert gradient is not None
        assert_close(gradient.norm(), outputs[f"gradnorm.{theirs}"])


def test_the_video_encoder_equals_the_original(golden: Callable[[str], Any]) -> None:
    stored = golden("svdata2vec_video_encoder")
    from skelray.methods.svdata2vec.checkpoints import translate  # keys of a whole network

    prefix = "feature_extractor_video."
    whole = golden("svdata2vec_pretrain")
    state = {**of_the_student(whole.state()), **{prefix + k: v for k, v in stored.state().items()}}
    found = translate(state, "pretrain")
    video = SVData2vec(SVData2vec.Config(), found.data).video.double()
    ours = {k.removeprefix("video."): v for k, v in found.state.items() if k.startswith("video.")}
    video.load_state_dict(ours)
    inputs = stored.cases["eval"]["inputs"]["video"].double()
    outputs = stored.cases["eval"]["outputs"]
    with torch.no_grad():
        video.eval()
        assert_close(video.resnet.stem(inputs)[:, :, :2], outputs["frontend"])
        assert_close(video.resnet(inputs).transpose(1, 2), outputs["trunk"])
        assert_close(video(inputs), outputs["tokens"])
        video.train()
        outputs = stored.cases["train_bn_batch_stats"]["outputs"]
        assert_close(video(inputs), outputs["tokens"])
    after = {
        "frontend_bn_running_mean_after": video.resnet.stem[1].running_mean,
        "frontend_bn_running_var_after": video.resnet.stem[1].running_var,
        "layer4_1_bn2_running_var_after": video.resnet.stages[3][1].norm2.running_var,
    }
    for name, value in after.items():
        assert_close(value, outputs[name])
