"""The main job: prepare if needed, pretrain, evaluate, log; behind `run` and `evaluate`."""

from __future__ import annotations

import logging
import shlex
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from skelray.platform import cluster, paths, registry
from skelray.platform.config import RunConfig, merge, parse_overrides
from skelray.platform.config import build as build_config
from skelray.platform.data import caching
from skelray.platform.data.source import Source, preprocessings
from skelray.platform.dataset import Dataset
from skelray.platform.errors import CheckpointError, UsageError
from skelray.platform.evaluation import evaluate
from skelray.platform.evaluation.check import check_evaluation
from skelray.platform.evaluation.features import ACTOR_CPUS
from skelray.platform.evaluation.results import Evaluation
from skelray.platform.finetuning import finetune
from skelray.platform.logs import logged_to
from skelray.platform.preparation import check_data, generated_raw, open_source, prepared
from skelray.platform.tracking.provenance import git_tags
from skelray.platform.tracking.tracker import Tracker
from skelray.platform.tracking.watcher import Watcher
from skelray.platform.training import interruption
from skelray.platform.training.build import build_method, config_of
from skelray.platform.training.checkpoint import Checkpoint, latest, set_damaged_aside
from skelray.platform.training.classifier import finetunings
from skelray.platform.training.lock import ORPHAN, TRAINING, only_one
from skelray.platform.training.ray_train import require_training_room, train

_LOG = logging.getLogger(__name__)


def run(config: RunConfig, *, fresh: bool = False) -> tuple[Path, Evaluation]:
    """Runs `config` to the end, or what is missing of it; returns the run's folder and its figures.

    An unfinished run of the same configuration, data and seed goes on from its newest checkpoint; a
    finished one only gets missing evaluations; `fresh` sets the earlier one aside. UsageError where
    another process is at work on it.
    """
    check_data(config.data)
    if prepared(config.data):  # where it is known already, before Ray starts
        with only_one(run_folder(config, Source.open(config.data)), "run"):
            pass
    with cluster.connected(partial(make_ready, config)):
        source = open_source(config.data)
        check_clips(config, source)
        build_caches(config, source)
        check_evaluation(config, source, build_method(config, source.spec))
        folder = run_folder(config, source)
        with only_one(folder, "run"):
            if fresh:
                _set_aside(folder)
            with (
                logged_to(folder / "logs" / "driver.log"),
                Tracker.open(folder, config=config, tags=tags(config, source)) as tracker,
            ):
                _LOG.info("begun by %s", shlex.join(sys.argv))
                checkpoint = _pretrain(config, source, folder, tracker)
                return folder, _evaluate(config, source, checkpoint, folder, tracker)


def _set_aside(folder: Path) -> None:
    """Moves an earlier run's files away, when nobody writes them any more; its locks stay."""
    aside = folder.with_name(f"{folder.name}.before-{time.strftime('%Y%m%d-%H%M%S')}")
    with only_one(folder, TRAINING, patience=ORPHAN):
        for path in [path for path in folder.iterdir() if not path.name.startswith(".")]:
            aside.mkdir(exist_ok=True)
            path.rename(aside / path.name)


def evaluate_run(path: Path, overrides: Sequence[str] = ()) -> tuple[Path, Evaluation]:
    """Evaluates a run's last checkpoint again, under `evaluation.…=value` overrides.

    `path` is a run's folder or one of its checkpoints. What was measured already is not measured
    again.
    """
    checkpoint = latest(path / "checkpoints") or Checkpoint.open(path)
    checkpoint.check()
    folder = checkpoint.path.parent.parent
    given = parse_overrides(overrides)
    if foreign := sorted(set(given) - {"evaluation"}):
        raise UsageError(f"evaluate takes evaluation.…=value only, not {foreign[0]!r}")
    tree = config_of(checkpoint).model_dump(mode="json")
    merge(tree, given)
    config = build_config(registry.load_method(tree["name"]).Config, tree)
    source = Source.open(config.data)
    trained_on = checkpoint.about["data"]["data_version"]
    if source.version != trained_on:
        raise CheckpointError(
            f"{checkpoint.path} was trained on data version {trained_on}; {source.store.path} "
            f"holds {source.version}: prepare the same recordings"
        )
    described = tags(config, source)
    if "imported" in checkpoint.about:  # not to be taken for runs of the same configuration
        described |= {"stage": "import", "seed": "", "configuration": checkpoint.about["imported"]}
    with (
        only_one(folder, "run"),
        cluster.connected(partial(require_evaluation_room, config)),
        logged_to(folder / "logs" / "driver.log"),
        Tracker.open(folder, config=config, tags=described, keep_status=True) as tracker,
    ):
        build_caches(config, source)
        return folder, _evaluate(config, source, checkpoint, folder, tracker)


def make_ready(config: RunConfig) -> None:
    """What needs no Ray, so that it is refused before Ray starts: too little room, no such size."""
    require_training_room(config)
    require_evaluation_room(config)
    dataset = registry.load_dataset(config.data.dataset)()
    if dataset.generated and not prepared(config.data):
        name, size = config.data.dataset, config.data.size
        dataset.generate(generated_raw(name, size), size=size, seed=0)


def require_evaluation_room(config: RunConfig) -> None:
    """UsageError where Ray has too little for what evaluates: actors, and what is trained."""
    if list(finetunings(config)):  # a UsageError where the method has no such recipe
        require_training_room(config)
    cluster.require_room("evaluation", workers=config.evaluation.workers, cpus=ACTOR_CPUS)


def check_clips(config: RunConfig, source: Source) -> None:
    """UsageError unless the run names clips where the method reads them, and only there."""
    method = build_method(config, source.spec)
    uses = [phase.name for phase in method.phases()] + list(method.outputs)
    reads = any(method.inputs(use).clip for use in uses)
    if not reads:
        if source.clips is not None:
            raise UsageError(f"method {config.name} reads no RGB clips: leave data.clips out")
        return
    clips = source.named_clips
    if skipped := len(clips.manifest["skipped"]):
        print(f"{skipped} recordings have no clip and take no part: {clips.path}")


def build_caches(config: RunConfig, source: Source) -> None:
    """Makes every preprocessing that training and evaluation read."""
    method = build_method(config, source.spec)
    uses = [phase.name for phase in method.phases()] + list(method.outputs)
    read = [method.inputs(use) for use in uses]
    for tuned in finetunings(config):
        read.append(method.training_inputs(tuned.finetuning.output))
    for inputs in read:
        for preprocessing in preprocessings(inputs).values():
            caching.build(source.store, source.dataset, preprocessing)


def run_folder(config: RunConfig, source: Source) -> Path:
    """Where this run lives, named by what it is and the hash of all that decides its weights."""
    identity = config.identity(source.version)
    return paths.runs() / f"{config.name}-{config.experiment}-{identity}"


def tags(config: RunConfig, source: Source) -> dict[str, str]:
    """The run's MLflow tags."""
    method = registry.load_method(config.name)
    dataset: type[Dataset] = source.dataset
    return {
        "method": config.name,
        "dataset": dataset.name,
        "protocol": source.protocol.name,
        "stream": str(getattr(config.method, "stream", "")),
        "stage": "pretrain",
        "recipe": config.preset or "published",
        "seed": str(config.seed),
        # equal for the seeds of one configuration: to group by
        "configuration": config.identity(source.version, seeded=False),
        "data_version": source.version,
        "plugin": f"{method.__module__}:{method.__qualname__}",
    }


def _pretrain(config: RunConfig, source: Source, folder: Path, tracker: Tracker) -> Checkpoint:
    set_damaged_aside(folder / "checkpoints")
    last = latest(folder / "checkpoints")
    if last is not None:
        last.require_run({"name": config.name, "run": config.identity(source.version)})
    if last is not None and last.finished:
        print(f"{folder.name} is trained already: only missing evaluations run (--fresh: anew)")
        tracker.sync(last.step)
        return last
    if last is not None:
        print(f"going on with {folder.name} from {last.path.name}")
    phases = build_method(config, source.spec).phases()
    for phase in phases:
        print(
            f"{phase.name}: {phase.epochs} epochs, global batch {phase.batch} on "
            f"{config.training.workers} worker(s), learning rate {phase.optimiser.lr:g}"
        )
    origin = {"mlflow_run_id": tracker.run_id or "", "git_sha": git_tags().get("git_sha", "")}
    interruption.withdraw(folder)
    with Watcher(folder, tracker):
        return train(config, folder, origin=origin)


def _evaluate(
    config: RunConfig, source: Source, checkpoint: Checkpoint, folder: Path, tracker: Tracker
) -> Evaluation:
    _LOG.info("evaluating %s", checkpoint.path.name)
    result = evaluate(config, source, checkpoint.path, folder)
    tracker.log_evaluation(checkpoint.step, result.figures, result.pictures)
    if config.evaluation.finetune or config.evaluation.scratch:
        described = tags(config, source)
        finetune(config, source, checkpoint, result, tags=described, parent=tracker.run_id)
        tracker.log_evaluation(checkpoint.step, result.figures)
    tracker.log_model(build_method(config, source.spec), checkpoint, result.figures)
    return result
