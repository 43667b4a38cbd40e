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
from tests.methods.crossclr.published import as_published, save

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


def test_the_other_method_is_named(tmp_path: Path) -> None:
    several = save(tmp_path, as_published(streams("joint", "motion")))
    with pytest.raises(CheckpointError, match=r"epoch300_model.pt: .* it is one of crossclr"):
        load_published("skeletonclr", several)
    one = save(tmp_path, as_published(one_stream()))
    with pytest.raises(CheckpointError, match=r"epoch300_model.pt: .* it is one of skeletonclr"):
        load_published("crossclr", one)
