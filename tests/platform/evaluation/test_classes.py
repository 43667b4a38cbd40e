"""A protocol with some of the data set's classes: its numbers and names, wherever they are used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from skelray.platform.config import RunConfig
from skelray.platform.data.cache import Cache, cache_path
from skelray.platform.data.loading import ResidentData
from skelray.platform.data.source import Source
from skelray.platform.evaluation import pictures
from skelray.platform.evaluation.embedding import Embedding
from skelray.platform.evaluation.features import raw_features
from skelray.platform.evaluation.plan import Plan
from skelray.platform.evaluation.probes import FastLinear, Logistic, NearestNeighbours
from skelray.platform.evaluation.scores import Scores
from skelray.platform.training import checkpoint
from skelray.platform.training.build import build_method
from skelray.platform.training.job import description, phase_loader

NAMES = ("action 4", "action 1", "action 2")
NUMBERS = {4: 0, 1: 1, 2: 2}  # in the data set -> under the protocol


@pytest.fixture
def fewer(source: Source) -> Source:
    """The same recordings under a protocol of three of the six classes."""
    return replace(source, protocol=replace(source.protocol, classes=NAMES))


@pytest.fixture
def saved(config: RunConfig, fewer: Source, tmp_path: Path) -> Path:
    """A checkpoint of a method that knows of three classes."""
    method = build_method(config, fewer.spec)
    about = {**description(config, fewer, method), "step": 7, "progress": {}, "finished": True}
    state = {"method": method.state_dict()}
    return checkpoint.save(tmp_path / "run" / "checkpoints", state=state, about=about, keep=2).path


def stored_labels(config: RunConfig, source: Source) -> dict[str, int]:
    """What the cache's file says, by id: the data set's numbers."""
    body = build_method(config, source.spec).inputs("joint").skeletons["body"]
    index = Cache.open(cache_path(source.store, body)).index
    return dict(zip(index["id"].tolist(), index["label"].tolist(), strict=True))


def test_training_sees_the_protocols_classes_only(config: RunConfig, fewer: Source) -> None:
    method = build_method(config, fewer.spec)
    assert fewer.spec.classes == method.data.classes == 3
    stored = stored_labels(config, fewer)
    (phase,) = method.phases()
    loader, steps = phase_loader(config, fewer, method, phase, torch.device("cpu"))
    batches = [batch for parts in loader(0, 0) for batch in parts]
    seen = [name for batch in batches for name in batch.id]
    assert len(seen) == steps * phase.batch
    assert {stored[name] for name in seen} <= {4, 1, 2, -1}

    caches = fewer.caches(method.inputs("joint"))
    index = next(iter(caches.values())).index
    rows = fewer.rows(index, "train")
    rows = rows[index["label"][rows] >= 0]
    batch = ResidentData(caches, torch.device("cpu"), "host").batch(rows, labels=True)
    assert batch.label is not None
    assert batch.label.tolist() == [NUMBERS[stored[name]] for name in batch.id]


def test_probes_use_the_protocols_numbers_and_names(
    config: RunConfig,
    fewer: Source,
    saved: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = Plan(config, fewer, saved, tmp_path / "run")
    stored = stored_labels(config, fewer)
    test = [n for n, label in stored.items() if label in NUMBERS and int(n[1:]) % 5 > 2]
    about = plan.about()
    assert (about["classes"], about["test"]) == (3, len(test))
    method = build_method(config, fewer.spec)
    parts = {part: raw_features(fewer, method, part) for part in ("train", "test")}
    split = plan.split(parts, "raw")
    assert tuple(split.classes) == NAMES and split.test_id.tolist() == test
    assert split.test.label.tolist() == [NUMBERS[stored[name]] for name in test]

    drawn = {}
    monkeypatch.setattr(
        pictures, "confusion", lambda path, *given: drawn.setdefault("matrix", given) and path
    )
    named = frozenset({"scores"})
    fast = FastLinear(seed=0, pictures=frozenset({"confusion"}), tables=named)
    found = dict(fast(split, lambda name: tmp_path / name))
    assert found["linear_fast/top1"] > 60
    label, predicted, classes, _ = drawn["matrix"]
    assert tuple(classes) == NAMES and predicted.max() <= 2
    np.testing.assert_array_equal(label, split.test.label)
    assert Scores.read(found["scores"]).values.shape == (len(test), 3)
    assert dict(Logistic()(split, Path))["linear_logistic/top1"] > 60
    assert dict(NearestNeighbours(ks=(5,))(split, Path))["knn5/top1"] > 60


def test_pictures_while_training_name_the_protocols_classes(
    config: RunConfig, fewer: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []

    def scatter(path: Path, points: np.ndarray, label: np.ndarray, *names: object) -> Path:
        given.append((len(points), set(label.tolist()), names[0]))
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    monkeypatch.setattr(pictures, "scatter", scatter)
    monkeypatch.setattr(pictures, "plane", lambda features, before: features[:, :2])
    evaluation = config.evaluation.model_copy(update={"tsne_every": 1, "outputs": ("joint",)})
    config = config.model_copy(update={"evaluation": evaluation})
    draw = Embedding(config, fewer, tmp_path, torch.device("cpu"))
    assert draw(build_method(config, fewer.spec), 8, 1, 1)
    ((points, labels, names),) = given
    assert labels == {0, 1, 2} and tuple(names) == NAMES
    stored = stored_labels(config, fewer)
    assert points == sum(label in NUMBERS for n, label in stored.items() if int(n[1:]) % 5 > 2)
