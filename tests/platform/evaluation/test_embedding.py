"""Pictures while training: when they are drawn, what they show, and that they change nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from skelray.platform.config import RunConfig
from skelray.platform.data.source import Source
from skelray.platform.distributed import state_hash
from skelray.platform.evaluation import pictures
from skelray.platform.evaluation.embedding import FOLDER, Embedding, frames
from skelray.platform.training.build import load_method


@pytest.fixture
def draw(config: RunConfig, source: Source, tmp_path: Path) -> Embedding:
    """Every second epoch."""
    often = config.evaluation.model_copy(update={"tsne_every": 2})
    given = config.model_copy(update={"evaluation": often})
    return Embedding(given, source, tmp_path, torch.device("cpu"))


def test_pictures_come_at_the_ends_of_epochs(
    draw: Embedding, source: Source, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path = draw.folder
    method = load_method(trained).train()
    before = state_hash(method.state_dict())
    starts = []
    plane = pictures.plane

    def watched(features: np.ndarray, known: np.ndarray | None) -> np.ndarray:
        starts.append(known)
        return plane(features, known)

    monkeypatch.setattr(pictures, "plane", watched)
    assert draw(method, 8, 1, 5) == []
    first = draw(method, 16, 2, 5)
    assert first == [f"{FOLDER}/tsne-{o}-step-00000016.png" for o in ("joint", "motion")]
    assert starts == [None, None]
    last = draw(method, 40, 5, 5)  # the last epoch always has one
    points = np.load(tmp_path / FOLDER / "tsne-joint-step-00000016.npy")
    np.testing.assert_array_equal(starts[2], points)
    assert frames(tmp_path) == {
        output: [tmp_path / names[place] for names in (first, last)]
        for place, output in enumerate(("joint", "motion"))
    }
    assert state_hash(method.state_dict()) == before
    assert all(module.training for module in method.modules())


def test_a_picture_that_fails_ends_nothing(
    draw: Embedding, source: Source, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("no points")

    monkeypatch.setattr(pictures, "plane", fail)
    method = load_method(trained).train()
    assert draw(method, 16, 2, 5) == [] and frames(draw.folder) == {}
    assert all(module.training for module in method.modules())
