"""Published checkpoints, made here by the specification, come back as they were."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from skelray.methods.crossclr.config import CrosSCLRConfig, SkeletonCLRConfig
from skelray.methods.crossclr.contrast import StreamContrast
from skelray.methods.crossclr.crossclr import CrosSCLR
from skelray.methods.crossclr.skeletonclr import SkeletonCLR
from skelray.platform.errors import CheckpointError
from skelray.platform.method import DataSpec
from skelray.platform.published import load_published
from skelray.platform.skeleton.specs import KINECT_V2
from tests.methods.crossclr.published import as_published, linear_as_published, save

DATA = DataSpec(skeleton=KINECT_V2, persons=2, coordinates=3)
SIZES = {"channels": 4, "feature_dim": 12, "projection_dim": 8, "queue": 16}


def one_stream() -> SkeletonCLR:
    return SkeletonCLR(SkeletonCLRConfig(**SIZES), DATA)


def streams(*names: str) -> CrosSCLR:
    return CrosSCLR(CrosSCLRConfig(streams=names, **SIZES), DATA)


@pytest.mark.parametrize(
    ("method", "name", "entries"),
    [
        (one_stream(), "skeletonclr", 364),
        (streams("joint", "motion"), "crossclr", 732),
        (streams("joint", "motion", "bone"), "crossclr", 1100),
    ],
)
def test_every_stream_comes_back(
    method: StreamContrast, name: str, entries: int, tmp_path: Path
) -> None:
    state = as_published(method)
    assert len(state) == entries  # counted in the original's files
    loaded = load_published(name, save(tmp_path, state))
    expected = method.state_dict()
    for key, value in loaded.state_dict().items():
        if not key.endswith("queue.filled"):
            torch.testing.assert_close(value, expected[key], rtol=0, atol=0, msg=key)


@pytest.mark.parametrize(
    ("names", "entries"), [(("joint", "motion"), 358), (("joint", "motion", "bone"), 537)]
)
def test_linear_classifiers_of_several_streams_come_back_as_one(
    names: tuple[str, ...], entries: int, tmp_path: Path
) -> None:
    method = streams(*names)
    recipe = method.recipes()["linear"]
    classifiers = {name: method.classifier(5, name, recipe).eval() for name in names}
    state = linear_as_published(method, {name: c.head for name, c in classifiers.items()})
    assert len(state) == entries  # counted in the original's files
    loaded = load_published("crossclr", save(tmp_path, state), "classifier")
    generator = torch.Generator().manual_seed(0)
    views = {name: torch.randn(2, 3, 50, 25, 2, generator=generator) for name in names}
    with torch.no_grad():
        expected = sum(classifiers[name](views) for name in names) / len(names)
        torch.testing.assert_close(loaded(views), expected)


def test_classifiers_that_are_not_whole_are_refused(tmp_path: Path) -> None:
    method = streams("joint", "motion")
    heads = {name: torch.nn.Linear(12, 5) for name in method.outputs}
    state = linear_as_published(method, heads)
    without = {key: value for key, value in state.items() if key != "encoder_q_motion.fc.weight"}
    with pytest.raises(CheckpointError, match=r"no fc.weight of stream motion"):
        load_published("crossclr", save(tmp_path, without), "classifier")
    with pytest.raises(CheckpointError, match=r"key 'encoder_k.A' is none of linear evaluation's"):
        load_published(
            "crossclr", save(tmp_path, {**state, "encoder_k.A": torch.ones(1)}), "classifier"
        )
    with pytest.raises(CheckpointError, match=r"of several streams: it is one of crossclr"):
        load_published("skeletonclr", save(tmp_path, state), "classifier")


def test_the_other_method_is_named(tmp_path: Path) -> None:
    several = save(tmp_path, as_published(streams("joint", "motion")))
    with pytest.raises(CheckpointError, match=r"epoch300_model.pt: .* it is one of crossclr"):
        load_published("skeletonclr", several)
    one = save(tmp_path, as_published(one_stream()))
    with pytest.raises(CheckpointError, match=r"epoch300_model.pt: .* it is one of skeletonclr"):
        load_published("crossclr", one)
