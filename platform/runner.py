"""The main job: prepare if needed, pretrain, evaluate, log; behind `run` and `evaluate`."""

from __future__ import annotations

import logging
import shlex
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from skelray.platform import cluster, paths, registry
from skelray.platform.classifiers import PARENT, train_classifiers
from skelray.platform.config import RunConfig, merge, parse_overrides
from skelray.platform.config import build as build_config
from skelray.platform.data import caching
from skelray.platform.data.source import Source, preprocessings
from skelray.platform.dataset import Dataset
from skelray.platform.errors import CheckpointError, UsageError
from skelray.platform.evaluation import evaluate
from skelray.platform.evaluation.check import check_evaluation
from skelray.platform.evaluation.classifier_configs import classifier_configs
from skelray.platform.evaluation.features import ACTOR_CPUS
from skelray.platform.evaluation.results import Evaluation
from skelray.platform.logs import logged_to
from skelray.platform.method import Method
from skelray.platform.preparation import check_data, generated_raw, open_source, prepared
from skelray.platform.tracking.provenance import git_tags
from skelray.platform.tracking.tracker import Tracker
from skelray.platform.tracking.watcher import Watcher
from skelray.platform.training import interruption
from skelray.platform.training.build import build_method, config_of, require_skeleton, spec_of
from skelray.platform.training.checkpoint import Checkpoint, latest, set_damaged_aside
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
        method = build_method(config, source.spec)
        build_caches(config, source, method)
        check_evaluation(config, source, method)
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
    """Evaluates a run's last checkpoint again, under `evaluation.…` and `data.…=value` overrides.

    `path` is a run's folder or one of its checkpoints. What was measured already is not measured
    again. Of recordings that the run has not split (transfer) the evaluation lies in a folder of
    its own below the run's; returned is the folder in which it lies.
    """
    checkpoint = latest(path / "checkpoints") or Checkpoint.open(path)
    checkpoint.check()
    trained = config_of(checkpoint)
    config = _asked(trained, overrides)
    check_data(config.data)
    folder = checkpoint.path.parent.parent
    if elsewhere := _recordings(config) != _recordings(trained):
        name = f"{config.data.dataset}-{config.data.protocol}"
        folder = paths.transfers(folder) / f"{name}-{paths.short_hash(_recordings(config))}"
    if prepared(config.data):  # refused before Ray starts
        _require_fit(Source.open(config.data), checkpoint, elsewhere=elsewhere)
    with only_one(folder, "run"), cluster.connected(partial(_make_measurable, config)):
        source = open_source(config.data)
        _require_fit(source, checkpoint, elsewhere=elsewhere)
        described = _describe_again(config, source, checkpoint, elsewhere=elsewhere)
        with (
            logged_to(folder / "logs" / "driver.log"),
            Tracker.open(folder, config=config, tags=described, keep_status=True) as tracker,
        ):
            build_caches(config, source, build_method(config, spec_of(checkpoint)))
            return folder, _evaluate(config, source, checkpoint, folder, tracker)


def _asked(trained: RunConfig, overrides: Sequence[str]) -> RunConfig:
    """The configuration of a run with what another evaluation of it may change."""
    given = parse_overrides(overrides)
    if foreign := sorted(set(given) - {"evaluation", "data"}):
        raise UsageError(f"evaluate takes evaluation.…, data.…=value only, not {foreign[0]!r}")
    tree = trained.model_dump(mode="json")
    merge(tree, given)
    return build_config(registry.load_method(trained.name).Config, tree)


def _recordings(config: RunConfig) -> dict[str, Any]:
    """Which recordings, and how they are split."""
    return config.data.model_dump(include={"dataset", "size", "protocol", "clips"})


def _require_fit(source: Source, checkpoint: Checkpoint, *, elsewhere: bool) -> None:
    """CheckpointError where measuring the checkpoint on these recordings has no meaning."""
    if elsewhere:
        require_skeleton(str(checkpoint.path), spec_of(checkpoint), source.spec)
    elif source.version != (trained_on := checkpoint.about["data"]["data_version"]):
        raise CheckpointError(
            f"{checkpoint.path} was trained on data version {trained_on}; {source.store.path} "
            f"holds {source.version}: prepare the same recordings"
        )


def _describe_again(
    config: RunConfig, source: Source, checkpoint: Checkpoint, *, elsewhere: bool
) -> dict[str, str]:
    """MLflow's tags of another evaluation."""
    described = tags(config, source)
    if elsewhere:
        parent = checkpoint.about.get("mlflow_run_id", "")
        described |= {"stage": "transfer"} | ({PARENT: parent} if parent else {})
    if "imported" in checkpoint.about:  # not to be taken for runs of the same configuration
        described |= {"seed": "", "configuration": checkpoint.about["imported"]}
        described |= {} if elsewhere else {"stage": "import"}
    return described


def make_ready(config: RunConfig) -> None:
    """What needs no Ray, so that it is refused before Ray starts: too little room, no such size."""
    require_training_room(config)
    _make_measurable(config)


def _make_measurable(config: RunConfig) -> None:
    """The same of what evaluates only: a run may have been trained on a larger machine."""
    require_evaluation_room(config)
    dataset = registry.load_dataset(config.data.dataset)()
    if dataset.generated and not prepared(config.data):
        name, size = config.data.dataset, config.data.size
        dataset.generate(generated_raw(name, size), size=size, seed=0)


def require_evaluation_room(config: RunConfig) -> None:
    """UsageError where Ray has too little for what evaluates: actors, and what is trained."""
    # which outputs does not matter here; a UsageError where the method has no such recipe
    if list(classifier_configs(config, ("any",))):
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


def build_caches(config: RunConfig, source: Source, method: Method) -> None:
    """Makes every preprocessing that training and evaluation of the method read."""
    uses = [phase.name for phase in method.phases()] + list(method.outputs)
    read = [method.inputs(use) for use in uses]
    for one in classifier_configs(config, tuple(method.outputs)):
        read.append(method.training_inputs(one.classifier.output))
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
    labelled = [phase.name for phase in build_method(config, source.spec).phases() if phase.labels]
    dataset: type[Dataset] = source.dataset
    return {
        "method": config.name,
        "dataset": dataset.name,
        "protocol": source.protocol.name,
        "stream": str(getattr(config.method, "stream", "")),
        "stage": "pretrain",
        "labels": ", ".join(labelled) or "none",  # the phases that read them
        "recipe": config.preset or method.DEFAULTS,
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
            f"{', with labels' if phase.labels else ''}"
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
    described = tags(config, source)
    parent = tracker.run_id
    train_classifiers(config, source, checkpoint, result, folder, tags=described, parent=parent)
    tracker.log_evaluation(checkpoint.step, result.figures)
    if checkpoint.path.parent.parent == folder:  # others have listed it
        tracker.log_model(build_method(config, source.spec), checkpoint, result.figures)
    return result
