"""One SQLite store for all tests here (MLflow takes seconds to create one) and a run to track."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient

from skelray.platform.config import RunConfig
from skelray.platform.method import DataSpec, Method
from skelray.platform.skeleton.specs import KINECT_V2
from skelray.platform.tracking import store
from skelray.platform.training import checkpoint
from skelray.platform.training.build import DATA_SPEC, build_method
from skelray.platform.training.checkpoint import Checkpoint
from tests.platform.tracking.drivers import run_config

DATA = DataSpec(skeleton=KINECT_V2, persons=2, coordinates=3, classes=4)


@pytest.fixture(scope="session")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("skelray_home")


@pytest.fixture(autouse=True)
def home(shared_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("SKELRAY_HOME", str(shared_home))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield shared_home


@pytest.fixture
def client(home: Path) -> MlflowClient:
    return MlflowClient(tracking_uri=store.tracking_uri())


@pytest.fixture
def config() -> RunConfig:
    return run_config()


@pytest.fixture
def method(config: RunConfig) -> Method:
    return build_method(config, DATA).eval()


@pytest.fixture
def save(tmp_path: Path, config: RunConfig, method: Method) -> Callable[..., Checkpoint]:
    """Writes the checkpoint of a step into the run folder, with weights unlike the initial ones."""

    ended: dict[str, str] = {}

    def write(
        step: int, folder: Path = tmp_path, *, finished: bool = False, ends: str = ""
    ) -> Checkpoint:
        if ends:
            ended[ends] = checkpoint.name_of(step)
        with torch.no_grad():
            for parameter in method.parameters():
                parameter.add_(0.01 * step)
        data = {"dataset": "synthetic", "spec": DATA_SPEC.dump_python(DATA, mode="json")}
        about = {"name": config.name, "config": config.model_dump(mode="json"), "data": data}
        return checkpoint.save(
            folder / "checkpoints",
            state={"method": method.state_dict()},
            about={**about, "step": step, "progress": {"ended": ended}, "finished": finished},
            keep=2,
        )

    return write
