"""What an MLflow run says of itself: experiment, name, parameters, tags, config, environment."""

from __future__ import annotations

from collections.abc import Mapping

import yaml
from mlflow import MlflowClient
from mlflow.entities import Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking.context.git_context import GitRunContext
from mlflow.tracking.context.registry import resolve_tags
from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT
from mlflow.utils.validation import MAX_PARAM_VAL_LENGTH, MAX_PARAMS_TAGS_PER_BATCH

from skelray.platform.config import RunConfig
from skelray.platform.tracking import provenance, store


def run_name(config: RunConfig, tags: Mapping[str, str]) -> str:
    """`<method>-<run id's first 6>`; the run id needs the tag `data_version`."""
    return f"{config.name}-{config.identity(tags.get('data_version', ''))[:6]}"


def experiment_id(client: MlflowClient, config: RunConfig) -> str:
    """The experiment `<dataset>_<protocol>`, so that methods on one data set lie side by side."""
    name = f"{config.data.dataset}_{config.data.protocol}"
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, store.artifact_location(name)))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)  # another run was faster
    assert found is not None
    return str(found.experiment_id)


def parameters(config: RunConfig) -> dict[str, str]:
    """The flat configuration, cut to what MLflow takes; config.yaml holds it whole."""
    return {key: str(value)[:MAX_PARAM_VAL_LENGTH] for key, value in config.flat().items()}


def all_tags(config: RunConfig, given: Mapping[str, str]) -> dict[str, str]:
    """What configuration, process and git say of the run; the given tags come last."""
    known = {
        **_process_tags(),
        "method": config.name,
        "dataset": config.data.dataset,
        "protocol": config.data.protocol,
        "stage": "pretrain",
        "seed": str(config.seed),
        **provenance.git_tags(),
    }
    if stream := getattr(config.method, "stream", ""):
        known["stream"] = str(stream)
    if commit := known.get("git_sha"):
        known[MLFLOW_GIT_COMMIT] = commit  # shown as the run's version
    return {**known, **given}


def _process_tags() -> dict[str, str]:
    """User and program; without MLflow's look at git, which is at the working directory's."""
    # MLflow annotates instances here but compares with classes
    tags: dict[str, str] = resolve_tags(ignore=[GitRunContext])  # type: ignore[list-item]
    return tags


def describe(client: MlflowClient, run_id: str, config: RunConfig, tags: Mapping[str, str]) -> None:
    """Writes all of it into the run.

    MLflow's parameters cannot change: what differs after a restart (workers, evaluations; nothing
    that decides the weights) shows in config.yaml alone.
    """
    known = client.get_run(run_id).data.params
    entries: list[Param | RunTag] = [
        *(Param(key, value) for key, value in parameters(config).items() if key not in known),
        *(RunTag(key, value) for key, value in all_tags(config, tags).items()),
    ]
    for start in range(0, len(entries), MAX_PARAMS_TAGS_PER_BATCH):
        part = entries[start : start + MAX_PARAMS_TAGS_PER_BATCH]
        client.log_batch(
            run_id,
            params=[entry for entry in part if isinstance(entry, Param)],
            tags=[entry for entry in part if isinstance(entry, RunTag)],
        )
    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
    client.log_text(run_id, text, "config.yaml")
    client.log_dict(run_id, provenance.environment(), "environment.json")
