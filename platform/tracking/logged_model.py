"""A run's checkpoint among MLflow's models, with the figures that were measured on it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from skelray.platform.method import Method
from skelray.platform.tracking.mlflow_run import EVALUATIONS, MlflowRun, points, read_records
from skelray.platform.tracking.model import MODEL_TYPE, write_model
from skelray.platform.training.build import DATA_SPEC, build_method, config_of
from skelray.platform.training.checkpoint import Checkpoint


def push_model(run: MlflowRun, checkpoint: Checkpoint, method: Method | None = None) -> bool:
    """Creates, fills and finalises the model, attaches its figures; True where any was missing.

    It is known by its name within the run, so that repeating a part of this makes no second one.
    Without a `method` at hand the checkpoint's is built.
    """
    records = [r for r in read_records(run.folder / EVALUATIONS) if r.step == checkpoint.step]
    name = f"{run.file.about.name}-step{checkpoint.step}"
    if run.stored.models.get(name) == len(records):
        return False
    model = _find(run, name) or _create(run, name)
    if model.status is not LoggedModelStatus.READY:
        _fill(run, model, checkpoint, method or _method_of(checkpoint))
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


def _method_of(checkpoint: Checkpoint) -> Method:
    """The method that a checkpoint is of, with its initial weights; UsageError without its plugin.

    The checkpoint says what it was built for, so that no prepared recordings are needed.
    """
    data = DATA_SPEC.validate_python(checkpoint.about["data"]["spec"])
    return build_method(config_of(checkpoint), data)
