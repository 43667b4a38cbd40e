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


def test_pictures_come_at_the_ends_of_epochs(
    config: RunConfig,
    source: Source,
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    every = config.evaluation.model_copy(update={"tsne_every": 2})
    draw = Embedding(
        config.model_copy(update={"evaluation": every}), source, tmp_path, torch.device("cpu")
    )
    method = load_method(trained, source.spec).train()
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


def test_no_pictures_unless_they_are_asked_for(
    config: RunConfig, source: Source, trained: Path, tmp_path: Path
) -> None:
    draw = Embedding(config, source, tmp_path, torch.device("cpu"))
    assert draw(load_method(trained, source.spec), 16, 2, 2) == [] and frames(tmp_path) == {}
