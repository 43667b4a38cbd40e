"""A data set and a method of another package, with a hand-made cache, for everything below."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from skelray.platform import registry
from skelray.platform.config import RunConfig, build
from skelray.platform.data.cache import cache_path
from skelray.platform.data.source import Source
from skelray.platform.data.store import Store
from skelray.platform.method import key_of
from skelray.platform.training import checkpoint
from skelray.platform.training.build import build_method
from skelray.platform.training.job import description

CLASSES, JOINTS, FRAMES = 6, 20, 4

PLUGIN = '''
import copy
import torch
from skelray.platform.dataset import Dataset, Protocol
from skelray.platform.method import *
from skelray.platform.optim import Optimiser, Schedule
from skelray.platform.preprocessing import Preprocessing
from skelray.platform.skeleton.specs import KINECT_V1
from torch import nn


class Bodies(Dataset):
    name, skeleton, persons = "bodies", KINECT_V1, 1
    classes = tuple(f"action {i}" for i in range(6))
    protocols = (Protocol("xsub", "subject", frozenset({1, 2, 3}), frozenset({3})),)

    def discover(self, raw):
        raise NotImplementedError

    def read(self, item):
        raise NotImplementedError


class Means(Method):
    """Features: a linear map of the frames' mean (joint) or of their differences' mean (motion)."""

    class Config(MethodConfig):
        width: int = 8
        leak: bool = False

    outputs = {"joint": 8, "motion": 8}
    encoders = ("encoder",)

    def __init__(self, config, data):
        super().__init__(config, data)
        self.encoder = nn.Sequential(nn.Linear(60, 8), nn.BatchNorm1d(8), nn.Dropout(0.5))
        self.unused = nn.BatchNorm1d(3)
        self.register_buffer("calls", torch.zeros(()))

    def inputs(self, use):
        parameters = {"persons": 1, "frames": 4, "align": "none"}
        return Inputs(skeletons={"body": Preprocessing(name="body_centred", parameters=parameters)})

    def phases(self):
        return [Phase(epochs=1, batch=8, optimiser=Optimiser(lr=0.1))]

    def views(self, batch, draws, progress):
        return self.eval_views(batch, "joint")

    def forward(self, views, progress):
        return Step(loss=self.encoder(views["x"].mean(2).flatten(1)).sum())

    def eval_views(self, batch, output, draws=None):
        x = batch.skeletons["body"].dense()
        if draws is not None:
            x = x + 0.01 * draws.normal("shift", *x.shape[1:])
        return {"x": x if output == "joint" else x.diff(dim=2), "index": batch.index}

    def features(self, views, names):
        self.calls += float(self.config.leak)
        return {names[0]: self.encoder(views["x"].mean(2).flatten(1))}

    def classifier(self, classes, output, recipe):
        return Classified(self.encoder, classes)

    @classmethod
    def recipes(cls):
        schedule = Schedule(name="steps", milestones=(8,))
        linear = EvalRecipe(optimiser=Optimiser(lr=3.0), schedule=schedule, epochs=10, batch=16)
        changes = {"trainable": "all", "optimiser": Optimiser(lr=0.2), "smoothing": 0.1}
        finetune = linear.model_copy(update={**changes, "layer_decay": 0.5, "test_every": 2})
        semi = finetune.model_copy(update={"last": "keep"})
        return {"linear": linear, "finetune": finetune, "semi": semi}


class Classified(Classifier):
    layers = 1

    def __init__(self, encoder, classes):
        super().__init__()
        self.encoder = copy.deepcopy(encoder)
        self.head = nn.Linear(8, classes)

    def forward(self, views):
        return self.head(self.encoder(views["x"].mean(2).flatten(1)))

    def layer(self, name):
        return int(name.startswith("head."))
'''


@pytest.fixture(scope="session")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder on sys.path with the package, announced by entry points as if it were installed."""
    folder = tmp_path_factory.mktemp("plugin")
    (folder / "means_plugin.py").write_text(PLUGIN)
    about = folder / "means_plugin-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: means_plugin\nVersion: 1\n")
    (about / "entry_points.txt").write_text(
        "[skelray.methods]\nmeans = means_plugin:Means\n"
        "[skelray.datasets]\nbodies = means_plugin:Bodies\n"
    )
    return folder


@pytest.fixture
def home(plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """SKELRAY_HOME with the plugin in reach."""
    monkeypatch.setenv("SKELRAY_HOME", str(tmp_path / "home"))
    monkeypatch.syspath_prepend(str(plugin))
    registry._plugins.cache_clear()
    yield tmp_path / "home"
    sys.modules.pop("means_plugin", None)
    registry._plugins.cache_clear()


@pytest.fixture
def config(home: Path) -> RunConfig:
    """A run of the method on the data set."""
    tree = {
        "name": "means",
        "experiment": "bodies",
        "data": {"dataset": "bodies", "protocol": "xsub"},
        "evaluation": {"linear": ["published", "fast"], "knn": [1, 5], "batch": 32},
    }
    return build(registry.load_method("means").Config, tree)


@pytest.fixture
def source(config: RunConfig, home: Path) -> Source:
    """240 recordings of five subjects; every seventh has no label."""
    dataset = registry.load_dataset("bodies")
    opened = Source(dataset, dataset.protocol("xsub"), Store(home, {"data_version": "v1"}))
    method = build_method(config, opened.spec)
    write_cache(cache_path(opened.store, method.inputs("joint").skeletons["body"]))
    return opened


@pytest.fixture
def trained(config: RunConfig, source: Source, tmp_path: Path) -> Path:
    """A checkpoint of step 7."""
    method = build_method(config, source.spec)
    about = {**description(config, source, method), "step": 7, "progress": {}, "finished": True}
    state = {"method": method.state_dict()}
    return checkpoint.save(tmp_path / "run" / "checkpoints", state=state, about=about, keep=2).path


def write_cache(folder: Path) -> None:
    """A cache in the format of `skelray.platform.data.cache`, made by hand."""
    rng = np.random.default_rng(0)
    n = 240
    label = rng.integers(CLASSES, size=n)
    body = rng.normal(size=(CLASSES, JOINTS, 3))[label] + 0.8 * rng.normal(size=(n, JOINTS, 3))
    frames = body[:, None, None] + 0.1 * rng.normal(size=(n, FRAMES, 1, JOINTS, 3))
    index = pa.table(
        {
            "id": [f"r{i:03d}" for i in range(n)],
            "key": [key_of(f"r{i:03d}") for i in range(n)],
            "label": np.where(np.arange(n) % 7 == 6, -1, label),
            "subject": np.arange(n) % 5 + 1,
            "camera": np.ones(n, np.int64),
            "setup": np.ones(n, np.int64),
            "fps": np.full(n, 30, np.float32),
            "frames": np.full(n, FRAMES),
            "length": np.full(n, FRAMES),
        }
    )
    folder.mkdir(parents=True)
    flat = pa.array(frames.astype(np.float32).reshape(-1))
    columns = {
        "frames": pa.FixedSizeListArray.from_arrays(flat, JOINTS * 3),
        "present": pa.FixedSizeListArray.from_arrays(pa.array(np.ones(n * FRAMES, np.uint8)), 1),
    }
    kinds = [(name, column.type) for name, column in columns.items()]
    schema = pa.schema(kinds, metadata={"shape": f"1 {JOINTS} 3"})
    batch = pa.record_batch(list(columns.values()), schema=schema)
    with pa.ipc.new_file(str(folder / "frames.arrow"), schema) as writer:
        writer.write_batch(batch)
    with pa.ipc.new_file(str(folder / "index.arrow"), index.schema) as writer:
        writer.write_table(index)
