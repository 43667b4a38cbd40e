"""Checkpoints as MLflow models: the weights as safetensors, and what the network was built from.

MLflow's own PyTorch flavour either pickles, which runs code when opened, or stores a graph traced
from an example (`pt2`), which is no network to train on and cannot be had of every method. This one
needs no example, runs no code and gives the method itself back.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlflow.artifacts
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.store.artifact.utils.models import get_model_name_and_version
from safetensors.torch import load_file, save_file

from skelray.platform import paths, registry
from skelray.platform.config import build
from skelray.platform.errors import CheckpointError
from skelray.platform.method import Method
from skelray.platform.tracking import store
from skelray.platform.training.build import DATA_SPEC, build_method
from skelray.platform.training.checkpoint import Checkpoint

FLAVOUR = MODEL_TYPE = "skelray"
_WEIGHTS, _ABOUT = "weights.safetensors", "model.json"

_README = """# {name}, step {step}

```python
from skelray.platform.tracking.model import load_model

method = load_model("models:/{model_id}")
features = method.features(views, {outputs})
```

Logged to `{uri}` (elsewhere set MLFLOW_TRACKING_URI to reach it).
`{weights}` holds the tensors, the encoder's begin with {encoders};
`{about}` holds the configuration and the skeleton they were made for.
"""


def write_model(
    folder: Path, method: Method, checkpoint: Checkpoint, *, model_id: str, run_id: str
) -> str:
    """Fills `folder` with a loadable MLflow model of the checkpoint; returns how to load it."""
    folder.mkdir(parents=True, exist_ok=True)
    state = checkpoint.load()["method"]
    # clones: safetensors refuses tensors that share memory, and strict loading wants every name
    weights = {name: value.clone().contiguous() for name, value in state.items()}
    save_file(weights, folder / _WEIGHTS)
    about = {
        "config": checkpoint.about["config"],
        "data": DATA_SPEC.dump_python(method.data, mode="json"),
        "outputs": dict(method.outputs),
        "encoders": list(method.encoders),
        "step": checkpoint.step,
    }
    paths.write_json(folder / _ABOUT, about)
    readme = _README.format(
        name=checkpoint.about["config"]["name"],
        step=checkpoint.step,
        model_id=model_id,
        uri=store.tracking_uri(),
        outputs=list(method.outputs),
        encoders=", ".join(f"`{name}.`" for name in method.encoders),
        weights=_WEIGHTS,
        about=_ABOUT,
    )
    paths.write_text(folder / "README.md", readme)
    described = Model(model_id=model_id, run_id=run_id)
    described.add_flavor(FLAVOUR, weights=_WEIGHTS, description=_ABOUT)
    described.save(folder / "MLmodel")
    return readme


def load_model(uri: str) -> Method:
    """The method of an MLflow model ("models:/m-…", "models:/NAME/VERSION") in eval mode.

    Its package must be installed. CheckpointError where the model is missing or does not fit.
    """
    try:
        folder = _download(uri)
        about: dict[str, Any] = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
        weights = load_file(folder / _WEIGHTS)
    except (MlflowException, OSError, json.JSONDecodeError) as error:
        reason = " ".join(str(error).split())[:200]
        where = store.tracking_uri()
        raise CheckpointError(f"{uri} cannot be read from {where}: {reason}") from None
    tree = about["config"]
    config = build(registry.load_method(tree["name"]).Config, tree)
    method = build_method(config, DATA_SPEC.validate_python(about["data"]))
    try:
        method.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{uri} does not fit its method: {reason}") from None
    return method.eval()


def _download(uri: str) -> Path:
    """The model's files; MLflow would look for "models:/…" in its global store, not in ours."""
    ours = store.tracking_uri()
    client = MlflowClient(tracking_uri=ours, registry_uri=ours)
    found = get_model_name_and_version(client, uri)  # one id, or a registered name and its version
    if len(found) == 1:
        location = client.get_logged_model(*found).artifact_location
    else:
        location = client.get_model_version_download_uri(*found)
    return Path(mlflow.artifacts.download_artifacts(artifact_uri=location, tracking_uri=ours))
