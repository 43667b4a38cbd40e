"""What an MLflow run says of itself: experiment, name, parameters, tags, config, environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml
from mlflow.tracking.context.git_context import GitRunContext
from mlflow.tracking.context.registry import resolve_tags
from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT
from mlflow.utils.validation import MAX_PARAM_VAL_LENGTH

from skelray.platform import paths
from skelray.platform.config import ClassifierConfig, RunConfig
from skelray.platform.tracking import provenance
from skelray.platform.tracking.run_file import CONFIG, ENVIRONMENT, Description


def describe(config: RunConfig, given: Mapping[str, str]) -> Description:
    """What is said of a run of `config` with the `given` tags.

    Methods on one data set lie side by side in the experiment `<dataset>_<protocol>`. The run's
    name ends in the first six letters of its id, for which the tag `data_version` is needed.
    """
    own = config.identity(given.get("data_version", ""))[:6]
    name, stage = f"{config.name}-{own}", given.get("stage")
    if stage == "import":  # not the weights that the same configuration trains
        name = f"{config.name}-imported-{given['configuration'][:6]}"
    if stage == "transfer":
        name = f"{config.name}-transfer-{own}"
    if isinstance(config, ClassifierConfig):
        name = f"{config.name}-{config.classifier.title}-{own}"
    return Description(
        experiment=f"{config.data.dataset}_{config.data.protocol}",
        name=name,
        params=_parameters(config),
        tags=_tags(config, given),
    )


def write_files(folder: Path, config: RunConfig) -> None:
    """Writes the whole configuration, and what it is run with."""
    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
    paths.write_text(folder / CONFIG, text)
    paths.write_json(folder / ENVIRONMENT, provenance.environment())


def _parameters(config: RunConfig) -> dict[str, str]:
    """The flat configuration, cut to what MLflow takes; config.yaml holds it whole."""
    return {key: str(value)[:MAX_PARAM_VAL_LENGTH] for key, value in config.flat().items()}


def _tags(config: RunConfig, given: Mapping[str, str]) -> dict[str, str]:
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
