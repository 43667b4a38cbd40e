"""Trains the classifiers that an evaluation asks for: from a checkpoint, and from initial weights.

Each has a folder of its own below the run's, with checkpoints, so that it goes on where it was
interrupted, and a run of its own in MLflow, a child of the pretraining's.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from skelray.platform import paths
from skelray.platform.config import FinetuningConfig, RunConfig
from skelray.platform.data.source import Source
from skelray.platform.evaluation.features import extract
from skelray.platform.evaluation.labelled import accuracies
from skelray.platform.evaluation.results import PRETRAINED, SCRATCH, Evaluation
from skelray.platform.evaluation.scores import Scores
from skelray.platform.tracking.provenance import git_tags
from skelray.platform.tracking.tracker import Tracker
from skelray.platform.tracking.watcher import Watcher
from skelray.platform.training import interruption
from skelray.platform.training.build import build_method
from skelray.platform.training.checkpoint import Checkpoint, latest, set_damaged_aside
from skelray.platform.training.classifier import finetunings
from skelray.platform.training.lock import only_one
from skelray.platform.training.metrics import MetricsFile
from skelray.platform.training.ray_train import train

_PARENT = "mlflow.parentRunId"  # by which MLflow's pages nest runs


def finetune(
    config: RunConfig,
    source: Source,
    checkpoint: Checkpoint,
    evaluation: Evaluation,
    *,
    tags: Mapping[str, str],
    parent: str | None,
) -> None:
    """Trains and tests what `config.evaluation` asks for; adds its figures to `evaluation`.

    `tags` are the pretraining's, `parent` is the id of its MLflow run. Ray must be connected.
    Nothing is done where a part has no labelled recording, as in every evaluation.
    """
    if not (evaluation.about["train"] and evaluation.about["test"]):
        return
    folder = checkpoint.path.parent.parent
    for tuned in finetunings(config, checkpoint.path):
        tuning = tuned.finetuning
        start = PRETRAINED if tuning.checkpoint else SCRATCH
        first = tuning.output == evaluation.about["first_output"]
        prefix = start if first else f"{start}/{tuning.output}"
        name = f"{'pretrained' if tuning.checkpoint else 'scratch'}-{tuning.output}"
        own = paths.finetunings(folder) / f"{name}-{tuned.identity(source.version)}"
        described = {**tags, "stage": "finetune", "output": tuning.output, "start": start}
        described["configuration"] = tuned.identity(source.version, seeded=False)
        described |= {_PARENT: parent} if parent else {}
        with only_one(own, "run"), Tracker.open(own, config=tuned, tags=described) as tracker:
            last = _trained(tuned, source, own, tracker)
            figures = _tested(tuned, source, last, evaluation, prefix)
            tracker.log_evaluation(last.step, figures)
            tracker.log_model(build_method(tuned, source.spec), last, figures)
        evaluation.save()


def _trained(
    config: FinetuningConfig, source: Source, folder: Path, tracker: Tracker
) -> Checkpoint:
    """Trains, or goes on from the newest checkpoint; returns the last."""
    set_damaged_aside(folder / "checkpoints")
    last = latest(folder / "checkpoints")
    if last is not None and last.finished:
        tracker.sync(last.step)
        return last
    print(_line(config, last))
    interruption.withdraw(folder)
    origin = {"mlflow_run_id": tracker.run_id or "", "git_sha": git_tags().get("git_sha", "")}
    with Watcher(folder, tracker):
        return train(config, folder, origin=origin)


def _line(config: FinetuningConfig, last: Checkpoint | None) -> str:
    """What begins now."""
    output, recipe = config.finetuning.output, config.finetuning.recipe
    what = f"training {output} from scratch"
    if checkpoint := config.finetuning.checkpoint:
        what = f"fine-tuning {output} from {Path(checkpoint).name}"
    return (
        f"{what}: {recipe.epochs} epochs, global batch {recipe.batch}, "
        f"learning rate {recipe.optimiser.lr:g}"
        f"{f', going on from {last.path.name}' if last else ''}"
    )


def _tested(
    config: FinetuningConfig,
    source: Source,
    checkpoint: Checkpoint,
    evaluation: Evaluation,
    prefix: str,
) -> dict[str, float]:
    """Figures of the last epoch, and the best of the tests during training; scores as a table."""
    output = config.finetuning.output
    features = extract(
        checkpoint.path,
        source,
        ("test",),
        outputs=(output,),
        batch=config.evaluation.batch,
        workers=config.evaluation.workers,
        num_gpus=0.0 if config.training.gpus_per_worker == 0 else None,
    )["test"]
    known = features.labelled(output)
    figures = accuracies(known.features, known.label)
    tests = [
        record["metrics"]
        for record in MetricsFile(checkpoint.path.parent.parent / "metrics.jsonl").read()
    ]
    for name in ("top1", "mean_class"):
        earlier = [metrics[f"test/{name}"] for metrics in tests if f"test/{name}" in metrics]
        figures[f"{name}_best"] = max([*earlier, figures[name]])
    named = {f"{prefix}/finetune/{name}": value for name, value in figures.items()}
    evaluation.figures |= named
    path = evaluation.folder / f"{prefix.replace('/', '-')}-finetune-scores.parquet"
    ids = features.id[features.label >= 0]
    Scores(id=ids, label=known.label.numpy(), values=known.features.numpy()).write(path)
    evaluation.files[f"{prefix}/finetune/scores"] = path.name
    return named
