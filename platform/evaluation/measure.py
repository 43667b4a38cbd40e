"""Measures one checkpoint and its baselines, but not again what an earlier start has measured."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from skelray.platform.config import RunConfig
from skelray.platform.data.source import Source
from skelray.platform.evaluation import pictures
from skelray.platform.evaluation.embedding import frames
from skelray.platform.evaluation.plan import Plan, Row
from skelray.platform.evaluation.probes import Measurement, Value
from skelray.platform.evaluation.results import Evaluation
from skelray.platform.training.metrics import MetricsFile


def evaluate(config: RunConfig, source: Source, checkpoint: Path, folder: Path) -> Evaluation:
    """All that `config.evaluation` asks of `checkpoint`, in `folder/evaluations/step-….json`.

    `folder` is the run's. The file is written after every measurement, so that an interrupted
    evaluation goes on where it stopped. Where a part has no labels there are no figures. UsageError
    for unknown outputs and recipes.
    """
    plan = Plan(config, source, checkpoint, folder)
    path = folder / "evaluations" / f"step-{plan.checkpoint.step:08d}.json"
    evaluation = Evaluation.open(path, plan.about())
    for row in plan.rows():
        for measurement in row.measurements:
            _measure(evaluation, row, measurement)
    if config.evaluation.pictures:
        _draw_curves(evaluation, folder)
        _animate(evaluation, folder)
    evaluation.save()
    return evaluation


def _measure(evaluation: Evaluation, row: Row, measurement: Measurement) -> None:
    figures = {f"{row.prefix}/{name}" for name in measurement.figures}
    files = {f"{row.prefix}/{n}" for n in (*measurement.pictures, *measurement.tables)}
    if evaluation.has(figures, files):
        return
    place = partial(_file, evaluation, row)
    for name, value in measurement(row.split(), place):
        _record(evaluation, f"{row.prefix}/{name}", value)
    evaluation.save()


def _file(evaluation: Evaluation, row: Row, name: str) -> Path:
    """Where a file goes: flat, for stores that keep file names only."""
    return evaluation.folder / f"{row.prefix.replace('/', '-')}-{name}"


def _record(evaluation: Evaluation, name: str, value: Value) -> None:
    if isinstance(value, Path):
        evaluation.files[name] = value.name
    else:
        evaluation.figures[name] = value


def _draw_curves(evaluation: Evaluation, folder: Path) -> None:
    """The curves up to now, where the run has any: a checkpoint from elsewhere has none."""
    if records := MetricsFile(folder / "metrics.jsonl").read():
        title = f"{evaluation.about['method']} on {evaluation.about['dataset']}: training"
        path = pictures.curves(evaluation.folder / "curves.png", records, title)
        _record(evaluation, "curves", path)


def _animate(evaluation: Evaluation, folder: Path) -> None:
    """The pictures that were drawn while training, as one that plays, of every output."""
    for output, drawn in frames(folder).items():
        name = f"tsne-training-{output}"
        if len(drawn) > 1:
            _record(evaluation, name, pictures.animation(evaluation.folder / f"{name}.gif", drawn))
