"""UmURL against what the published implementation gave for the same weights and inputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from skelray.methods.umurl.umurl import OutputClassifier, UmURL, UmURLConfig
from skelray.platform.method import DataSpec
from skelray.platform.published import load_published
from skelray.platform.skeleton.specs import KINECT_V2
from tests.conftest import golden_weight
from tests.methods.umurl.published import NOW, assert_close, save, shapes

OUTPUTS = {"fused": "y_u", "joint": "y_j", "bone": "y_b", "motion": "y_m"}
STREAMS = ("j", "b", "m")


@torch.no_grad()
def test_the_classifier_equals_the_original(tmp_path: Path, golden: Callable[[str], Any]) -> None:
    stored = golden("umurl_encoder")
    classifier = load_published("umurl", save(tmp_path, stored.state()), "classifier")
    assert isinstance(classifier, OutputClassifier)
    clip, outputs = stored.cases["eval"]["inputs"]["clip"], stored.cases["eval"]["outputs"]
    assert_close(classifier({"fused": clip}), outputs["logits"])
    assert sum(p.numel() for p in classifier.parameters()) == 22_190_140


@torch.no_grad()
def test_features_equal_the_original(tmp_path: Path, golden: Callable[[str], Any]) -> None:
    stored = golden("umurl_encoder")
    whole = shapes(dim=1024, frames=64, projection=4096)
    encoder = {key: value for key, value in stored.state().items() if not key.startswith("fc.")}
    assert len(encoder) + 48 == len(whole) + 1 == 111
    state = {key: golden_weight(key, shape) for key, shape in whole.items()} | encoder
    method = load_published("umurl", save(tmp_path, state))
    assert isinstance(method, UmURL) and method.config == UmURLConfig()
    assert sum(p.numel() for p in method.parameters()) == 72_448_000
    assert len(list(method.parameters())) == 92
    clip, outputs = stored.cases["eval"]["inputs"]["clip"], stored.cases["eval"]["outputs"]
    features = method.features(dict.fromkeys(OUTPUTS, clip), list(OUTPUTS))
    for ours, theirs in OUTPUTS.items():
        assert_close(features[ours], outputs[theirs])


class Given(torch.nn.Module):
    """Stands for a projector: gives projections that are stored."""

    def __init__(self, *z: Tensor) -> None:
        super().__init__()
        self.z = iter(z)

    def forward(self, features: Tensor) -> Tensor:
        return next(self.z)


def step_on(z: dict[str, Tensor], **settings: Any) -> Any:
    """A step of which the projections are given."""
    config = UmURLConfig(dim=2, frames=2, projection_dim=2, **settings)
    method = UmURL(config, DataSpec(skeleton=KINECT_V2, persons=2, coordinates=3))
    given = {
        name: Given(z[f"z_u{letter}"], z[f"z_{letter}"])  # that of fused streams comes first
        for name, letter in zip(("joint", "bone", "motion"), STREAMS, strict=True)
    }
    method.projectors = torch.nn.ModuleDict(given)
    clip = torch.zeros(len(z["z_j"]), 3, 2, 25, 2)
    return method(dict.fromkeys(OUTPUTS, clip), NOW)


@pytest.mark.parametrize("case", ["b16_d32", "b8_d4096", "b2_d4096", "collapsed_zero"])
def test_the_loss_equals_the_original(golden: Callable[[str], Any], case: str) -> None:
    stored = golden("umurl_loss").cases[case]
    z = {name: value.clone().requires_grad_() for name, value in stored["inputs"].items()}
    step, outputs = step_on(z), stored["outputs"]
    for name in ("intra", "inter"):
        assert_close(step.terms[name], outputs[name])
    reg = 5 * step.terms["variance"] + step.terms["covariance"]
    assert_close(reg, outputs["reg"])
    assert_close(step.loss, outputs["loss"])
    step.loss.backward()
    for name, value in z.items():
        if f"grad.{name}" in outputs:
            assert value.grad is not None
            assert_close(value.grad, outputs[f"grad.{name}"])
    if case == "collapsed_zero":
        assert step.loss.item() == pytest.approx(29.7, abs=1e-4)
