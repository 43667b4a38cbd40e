"""A run's process without its work: it holds the run's lock and tracks, to be killed."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from skelray.platform import registry
from skelray.platform.config import RunConfig, build
from skelray.platform.tracking.mlflow_run import MlflowRun
from skelray.platform.tracking.tracker import Tracker
from skelray.platform.training.lock import only_one
from skelray.platform.training.metrics import MetricsFile


def run_config() -> RunConfig:
    """A small run on generated recordings."""
    tree = {
        "name": "skeletonclr",
        "experiment": "synthetic",
        "preset": "small",
        "seed": 3,
        "data": {"dataset": "synthetic", "protocol": "xsub"},
        "method": {"frames": 8, "queue": 16, "channels": 4, "feature_dim": 16},
    }
    return build(registry.load_method("skeletonclr").Config, tree)


def _die_before_the_id_is_kept(run: MlflowRun) -> None:
    if run.stored.run_id:
        os.kill(os.getpid(), signal.SIGKILL)
    run.file.write(run.folder)


def main(folder: Path, how: str) -> None:
    """Writes `ready` into `folder` and waits; or dies with its MLflow run just created."""
    if how == "creating":
        MlflowRun.keep = _die_before_the_id_is_kept  # type: ignore[method-assign]
    with only_one(folder, "run"):
        tracker = Tracker.open(folder, config=run_config(), tags={})
        MetricsFile(folder / "metrics.jsonl").append(10, {"train/loss": 1.0})
        tracker.sync(10)
        if how == "exiting":
            os._exit(1)
        (folder / "ready").touch()
        time.sleep(600)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
