"""The networks that are fine-tuned: sizes, layers, drop path, what they compute."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn.functional import layer_norm

from skelray.methods.svdata2vec.classifier import ClipClassifier
from skelray.methods.svdata2vec.config import SVData2vecConfig
from skelray.methods.svdata2vec.svdata2vec import SVData2vec
from skelray.platform.method import Classifier, DataSpec
from skelray.platform.optim import Schedule
from skelray.platform.skeleton.specs import COCO, SMARTHOME15
from tests.methods.svdata2vec.test_svdata2vec import SMALL

RECIPES = SVData2vec.recipes()


def build(spec: Any = COCO, **settings: Any) -> SVData2vec:
    torch.manual_seed(0)
    data = DataSpec(skeleton=spec, persons=2, coordinates=spec.dimensions)
    return SVData2vec(SVData2vecConfig(**settings), data)


def views_of(output: str) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    video = torch.randn(3, 3, 12, 20, 20, generator=generator)
    joints = 20 * torch.rand(3, 2, 12, 17, 2, generator=generator)
    views = {f"{output}/video": video, f"{output}/joints": joints}
    return views if output == "skeleton_rgb" else {f"{output}/video": video}


@pytest.mark.parametrize(
    ("spec", "output", "classes", "expected"),
    [
        (COCO, "skeleton_rgb", 60, 18_349_244),
        (COCO, "skeleton_rgb", 120, 18_472_184),
        (SMARTHOME15, "skeleton_rgb", 31, 18_287_775),
        (COCO, "rgb", 60, 18_331_580),
        (COCO, "rgb", 120, 18_454_520),
        (SMARTHOME15, "rgb", 31, 18_272_159),
    ],
)
def test_published_parameter_counts(spec: Any, output: str, classes: int, expected: int) -> None:
    with torch.device("meta"):
        classifier = build(spec).classifier(classes, output, RECIPES["finetune"])
    assert sum(p.numel() for p in classifier.parameters()) == expected


@pytest.mark.parametrize("output", ["skeleton_rgb", "rgb"])
def test_layers_of_the_decay(output: str) -> None:
    classifier = build(channels=4, dim=16).classifier(5, output, RECIPES["finetune"])
    assert isinstance(classifier, Classifier) and classifier.layers == 9
    names = [name for name, _ in classifier.named_parameters()]
    levels = {name: classifier.layer(name) for name in names}
    assert levels["position"] == 0
    if output == "skeleton_rgb":
        assert levels["skeleton.projection.weight"] == levels["skeleton.projection.bias"] == 0
    for block in range(8):
        assert levels[f"encoder.blocks.{block}.attention.qkv.weight"] == block + 1
    rest = [n for n in names if n.startswith(("head.", "video.", "encoder.norm."))]
    assert {levels[name] for name in rest} == {9}
    assert all(level in range(10) for level in levels.values())


def test_recipes_are_the_published_ones() -> None:
    finetune, scratch = RECIPES["finetune"], RECIPES["scratch"]
    assert (finetune.epochs, finetune.batch, finetune.smoothing) == (100, 64, 0.1)
    assert (finetune.drop_path, finetune.dropout, finetune.layer_decay) == (0.3, 0.3, 0.8)
    assert finetune.trainable == "all" and finetune.augment
    rate = [finetune.optimiser.lr * finetune.schedule.factor(e, 100) for e in (0, 4, 5)]
    assert rate == pytest.approx([0, 3e-4 * 4 / 5, 3e-4])
    assert finetune.schedule == Schedule(
        name="cosine", per="step", warmup_epochs=5, final=1e-5 / 3e-4
    )
    changed = {"layer_decay": 1.0, "source": scratch.source}
    assert scratch == finetune.model_copy(update=changed)
    assert RECIPES["linear"].normalise and RECIPES["linear"].trainable == "head"


@pytest.mark.parametrize("output", ["skeleton_rgb", "rgb"])
@pytest.mark.parametrize("name", ["finetune", "linear"])
def test_a_classifier_starts_from_copies_of_the_pretrained_parts(output: str, name: str) -> None:
    method = build(**SMALL).eval()
    classifier = method.classifier(5, output, RECIPES[name]).eval()
    assert isinstance(classifier, ClipClassifier)
    views = views_of(output)
    features = method.features(views, [output])[output]
    logits = classifier(views)
    head = classifier.head
    if name == "finetune":
        hidden = head.norm(head.linear1(features)).relu()
        torch.testing.assert_close(logits, head.linear2(hidden))
        assert head.norm.num_features == 2048
    else:
        torch.testing.assert_close(logits, head.linear(features))
    ours = {p.data_ptr() for p in classifier.parameters()}
    assert not ours & {p.data_ptr() for p in method.parameters()}
    assert (classifier.skeleton is None) == (output == "rgb")
    logits.sum().backward()
    for key, parameter in classifier.named_parameters():
        assert parameter.grad is not None, key
    assert all(p.grad is None for p in method.parameters())


def test_paths_and_tokens_are_dropped_in_training_as_the_recipe_says() -> None:
    method = build(**{**SMALL, "depth": 4})
    classifier = method.classifier(5, "rgb", RECIPES["finetune"])
    assert isinstance(classifier, ClipClassifier)
    blocks = list(classifier.encoder.blocks)
    assert [b.drop_path.rate for b in blocks] == pytest.approx([0, 0.1, 0.2, 0.3])
    assert classifier.head.dropout.p == 0.3
    assert all(block.drop_path.rate == 0 for block in method.encoder.blocks)
    without = RECIPES["finetune"].model_copy(update={"drop_path": 0.0, "dropout": 0.0})
    classifier = method.classifier(5, "rgb", without).train()
    views = views_of("rgb")
    assert torch.equal(classifier(views), classifier(views))


def test_tokens_are_the_mean_of_both_modalities() -> None:
    method = build(**SMALL).eval()
    classifier = method.classifier(5, "skeleton_rgb", RECIPES["linear"]).eval()
    assert isinstance(classifier, ClipClassifier)
    views = views_of("skeleton_rgb")
    video = classifier.video(views["skeleton_rgb/video"])
    assert classifier.skeleton is not None
    x = (video + classifier.skeleton(views["skeleton_rgb/joints"])) / 2 + classifier.position
    for block in classifier.encoder.blocks:
        x = block(x)
    norm = classifier.encoder.norm
    x = layer_norm(x, (16,), norm.weight, norm.bias, eps=1e-5)
    torch.testing.assert_close(classifier(views), classifier.head.linear(x.mean(1)))
