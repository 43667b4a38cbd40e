"""A run's checkpoint among MLflow's models, with the figures that were measured on it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from skelray.platform.method import Method
from skelray.platform.tracking.mlflow_run import EVALUATIONS, MlflowRun, points, read_records
from skelray.platform.tracking.model import MODEL_TYPE, write_model
from skelray.platform.training.build import build_method, config_of, spec_of
from skelray.platform.training.checkpoint import Checkpoint


def push_model(run: MlflowRun, checkpoint: Checkpoint, method: Method | None = None) -> bool:
    """Creates, fills and finalises the model, attaches its figures; True where any was missing.

    So it does with the checkpoints at the ends of the phases before. Each is known by its name
    within the run, so that repeating a part of this makes no second one. Without a `method` at hand
    the checkpoint's is built.
    """
    ended: dict[str, str] = checkpoint.about.get("progress", {}).get("ended", {})
    before = {phase: name for phase, name in ended.items() if name != checkpoint.path.name}
    brought = [
        _push(run, Checkpoint.open(checkpoint.path.with_name(name)), f"{phase}-", method)
        for phase, name in before.items()
    ]
    return any([*brought, _push(run, checkpoint, "", method)])


def _push(run: MlflowRun, checkpoint: Checkpoint, phase: str, method: Method | None) -> bool:
    records = [r for r in read_records(run.folder / EVALUATIONS) if r.step == checkpoint.step]
    name = f"{run.file.about.name}-{phase}step{checkpoint.step}"
    if run.stored.models.get(name) == len(records):
        return False
    model = _find(run, name) or _create(run, name)
    if model.status is not LoggedModelStatus.READY:
        # the checkpoint says what it was built for, so that no prepared recordings are needed
        own = method or build_method(config_of(checkpoint), spec_of(checkpoint))
        _fill(run, model, checkpoint, own)
    run.log(points(records, model_id=model.model_id))
    run.stored.models[name] = len(records)
    run.keep()
    return True


def _find(run: MlflowRun, name: str) -> LoggedModel | None:
    found = run.client.search_logged_models(
        [run.stored.experiment_id],
        filter_string=f"source_run_id = '{run.stored.run_id}' AND name = '{name}'",
    )
    return found[0] if found else None


def _create(run: MlflowRun, name: str) -> LoggedModel:
    return run.client.create_logged_model(
        run.stored.experiment_id,
        name=name,
        source_run_id=run.stored.run_id,
        tags=run.file.about.tags,
        params=run.file.about.params,
        model_type=MODEL_TYPE,
    )


def _fill(run: MlflowRun, model: LoggedModel, checkpoint: Checkpoint, method: Method) -> None:
    client, run_id, model_id = run.client, run.stored.run_id, model.model_id
    with tempfile.TemporaryDirectory() as folder:
        readme = write_model(Path(folder), method, checkpoint, model_id=model_id, run_id=run_id)
        client.log_model_artifacts(model_id, folder)
    client.set_logged_model_tags(model_id, {MLFLOW_RUN_NOTE: readme})
    outputs = client.get_run(run_id).outputs
    if model_id not in {output.model_id for output in (outputs.model_outputs if outputs else ())}:
        client.log_outputs(run_id, [LoggedModelOutput(model_id, checkpoint.step)])
    client.finalize_logged_model(model_id, LoggedModelStatus.READY)
