"""From files in the owners' layout to figures under a protocol of 19 classes, without Ray."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from skelray.datasets.smarthome.dataset import CLASSES, CROSS_VIEW_CLASSES, Smarthome
from skelray.datasets.synthetic.recordings import members
from skelray.datasets.synthetic.smarthome_layout import write_smarthome
from skelray.platform import estimate
from skelray.platform.config import RunConfig, resolve
from skelray.platform.data import caching
from skelray.platform.data.cache import cache_path
from skelray.platform.data.loading import ResidentData
from skelray.platform.data.source import Source, store_path
from skelray.platform.evaluation.features import raw_features
from skelray.platform.evaluation.logistic import logistic_regression
from skelray.platform.method import Method
from skelray.platform.training.build import build_method
from tests.platform.data.stores import write_store


def config_of(protocol: str) -> RunConfig:
    data = ["data.dataset=smarthome", f"data.protocol={protocol}"]
    return resolve("skeletonclr", "nwucla", [*data, "method.channels=4", "method.frames=16"])


def prepared(tmp_path: Path) -> None:
    """The store of 192 recordings: 16 actions of four subjects before three cameras."""
    dataset = Smarthome()
    recordings = [one for one in members("4-subjects") if one.replication == 1]
    write_smarthome(tmp_path / "raw", recordings)
    items = dataset.discover(tmp_path / "raw").items
    samples = [sample for item in items for sample in dataset.read(item)]
    write_store(store_path(Smarthome, ""), [samples], dataset="smarthome", kind=Smarthome)


def opened(protocol: str) -> tuple[Source, Method]:
    """The source of a protocol with its caches, and a method that reads it."""
    config = config_of(protocol)
    source = Source.open(config.data)
    method = build_method(config, source.spec)
    for preprocessing in method.inputs("joint").skeletons.values():
        target = cache_path(source.store, preprocessing)
        if not target.exists():
            target.mkdir(parents=True)
            part = target / "part-00000.arrow"
            caching._write_part(source.store.shards[0], Smarthome, preprocessing, part)
            caching._merge([part], target)
    return source, method


def test_one_store_serves_protocols_of_31_and_of_19_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKELRAY_HOME", str(tmp_path / "home"))
    config = config_of("cv2")
    assert estimate._classes(config, Smarthome) == 19  # where nothing is prepared yet
    prepared(tmp_path)
    assert estimate._classes(config, Smarthome) == 19
    for protocol, classes in (("cs", CLASSES), ("cv2", CROSS_VIEW_CLASSES)):
        source, method = opened(protocol)
        assert source.classes == classes and method.data.classes == len(classes)
        caches = source.caches(method.inputs("joint"))
        index = next(iter(caches.values())).index
        rows = source.rows(index, "train")
        batch = ResidentData(caches, torch.device("cpu"), "host").batch(rows, labels=True)
        assert batch.label is not None
        names = [name.partition("_")[0] for name in batch.id]
        assert [classes[label] for label in batch.label.tolist()] == names
        train, test = (raw_features(source, method, p).labelled("raw") for p in ("train", "test"))
        result = logistic_regression(train, test, len(classes))
        assert result.scores.shape == (len(test), len(classes))
        assert result.mean_class > 3 * 100 / len(np.unique(test.label))
