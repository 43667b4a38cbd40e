"""Trains the classifiers that an evaluation asks for, and tests them.

Each has a folder of its own below the run's, with checkpoints, so that it goes on where it was
interrupted, and a run of its own in MLflow, a child of the pretraining's.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from skelray.platform import paths
from skelray.platform.config import ClassifierConfig, RunConfig
from skelray.platform.data.source import Source
from skelray.platform.distributed import state_hash
from skelray.platform.evaluation.baselines import random_checkpoint
from skelray.platform.evaluation.classifier_configs import classifier_configs
from skelray.platform.evaluation.features import extract
from skelray.platform.evaluation.labelled import accuracies
from skelray.platform.evaluation.results import PRETRAINED, RANDOM, Evaluation
from skelray.platform.evaluation.scores import Scores
from skelray.platform.method import Method
from skelray.platform.tracking.provenance import git_tags
from skelray.platform.tracking.tracker import Tracker
from skelray.platform.tracking.watcher import Watcher
from skelray.platform.training import interruption
from skelray.platform.training.build import build_method, load_method
from skelray.platform.training.checkpoint import Checkpoint, latest, set_damaged_aside
from skelray.platform.training.classifier import HEAD
from skelray.platform.training.job import phase_rows
from skelray.platform.training.lock import only_one
from skelray.platform.training.metrics import MetricsFile
from skelray.platform.training.ray_train import train

PARENT = "mlflow.parentRunId"  # by which MLflow's pages nest runs


def train_classifiers(
    config: RunConfig,
    source: Source,
    checkpoint: Checkpoint,
    evaluation: Evaluation,
    folder: Path,
    *,
    tags: Mapping[str, str],
    parent: str | None,
) -> None:
    """Trains and tests what `config.evaluation` asks for; adds its figures to `evaluation`.

    `folder` is where the evaluation lies, `tags` are the pretraining's, `parent` is the id of its
    MLflow run. Ray must be connected. Nothing is done where a part has no labelled recording, as in
    every evaluation.
    """
    if not (evaluation.about["train"] and evaluation.about["test"]):
        return
    method = load_method(checkpoint.path)
    starts = {PRETRAINED: checkpoint.path}
    asked = list(classifier_configs(config, tuple(method.outputs)))
    if any(one.classifier.start == RANDOM for one in asked):
        starts[RANDOM] = random_checkpoint(config, source, method.data, folder)
    for one in classifier_configs(config, tuple(method.outputs), starts):
        settings = one.classifier
        own = paths.classifiers(folder) / f"{settings.title}-{one.identity(source.version)}"
        described = {**tags, "stage": settings.measure, "output": settings.output}
        described["start"] = settings.began
        described["configuration"] = one.identity(source.version, seeded=False)
        described |= {PARENT: parent} if parent else {}
        with only_one(own, "run"), Tracker.open(own, config=one, tags=described) as tracker:
            last = _trained(one, source, own, tracker)
            figures = _tested(one, source, last, evaluation)
            tracker.log_evaluation(last.step, figures)
            tracker.log_model(build_method(one, source.spec), last, figures)
        evaluation.save()


def _trained(
    config: ClassifierConfig, source: Source, folder: Path, tracker: Tracker
) -> Checkpoint:
    """Trains, or goes on from the newest checkpoint; returns the last.

    RuntimeError where an encoder that is called frozen has changed.
    """
    set_damaged_aside(folder / "checkpoints")
    last = latest(folder / "checkpoints")
    if last is not None and last.finished:
        tracker.sync(last.step)
        return last
    begun = build_method(config, source.spec, pretrained=True)
    recordings = _recordings(config, source, begun)
    paths.write_text(folder / "recordings.txt", "".join(f"{id_}\n" for id_ in recordings))
    print(_line(config, last, len(recordings)))
    interruption.withdraw(folder)
    origin = {"mlflow_run_id": tracker.run_id or "", "git_sha": git_tags().get("git_sha", "")}
    with Watcher(folder, tracker):
        last = train(config, folder, origin=origin)
    alone = config.classifier.recipe.trainable == "head"
    if alone and _encoder_hash(load_method(last.path)) != _encoder_hash(begun):
        raise RuntimeError(f"{folder} trained a head, but the encoder was not frozen: it changed")
    return last


def _encoder_hash(training: Method) -> str:
    """Of all parameters and statistics but the head's."""
    state = training.state_dict().items()
    return state_hash({name: value for name, value in state if not name.startswith(f"{HEAD}.")})


def _recordings(config: ClassifierConfig, source: Source, training: Method) -> list[str]:
    """The sample ids that it trains on."""
    (phase,) = training.phases()
    index = next(iter(source.caches(training.inputs(phase.name)).values())).index
    ids: list[str] = index["id"][phase_rows(config, source, index, phase)].tolist()
    return ids


def _line(config: ClassifierConfig, last: Checkpoint | None, recordings: int) -> str:
    """What begins now."""
    settings = config.classifier
    recipe, output = settings.recipe, settings.output
    what = f"training {output} from scratch"
    if settings.checkpoint:
        verb = "linear probe of" if recipe.trainable == "head" else "fine-tuning"
        what = f"{verb} {output} from {Path(settings.checkpoint).name}"
    return (
        f"{what}{' with few labels' if settings.share < 1 else ''}: {recordings} recordings, "
        f"{recipe.epochs} epochs, global batch {recipe.batch}, "
        f"learning rate {recipe.optimiser.lr:g}"
        f"{f', going on from {last.path.name}' if last else ''}"
    )


def _tested(
    config: ClassifierConfig, source: Source, checkpoint: Checkpoint, evaluation: Evaluation
) -> dict[str, float]:
    """Figures of the last epoch, and the best of the tests during training; scores as a table."""
    settings = config.classifier
    features = extract(
        checkpoint.path,
        source,
        ("test",),
        outputs=(settings.output,),
        batch=config.evaluation.batch,
        workers=config.evaluation.workers,
        num_gpus=0.0 if config.training.gpus_per_worker == 0 else None,
    )["test"]
    known = features.labelled(settings.output)
    figures = accuracies(known.features, known.label)
    tests = [
        record["metrics"]
        for record in MetricsFile(checkpoint.path.parent.parent / "metrics.jsonl").read()
    ]
    for name in ("top1", "mean_class"):
        earlier = [metrics[f"test/{name}"] for metrics in tests if f"test/{name}" in metrics]
        figures[f"{name}_best"] = max([*earlier, figures[name]])
    first = settings.output == evaluation.about["first_output"]
    prefix = settings.start if first else f"{settings.start}/{settings.output}"
    named = {f"{prefix}/{settings.measure}/{name}": value for name, value in figures.items()}
    evaluation.figures |= named
    path = evaluation.folder / f"{prefix.replace('/', '-')}-{settings.measure}-scores.parquet"
    ids = features.id[features.label >= 0]
    Scores(id=ids, label=known.label.numpy(), values=known.features.numpy()).write(path)
    evaluation.files[f"{prefix}/{settings.measure}/scores"] = path.name
    return named
