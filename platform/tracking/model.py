"""Checkpoints as MLflow models: a folder with the weights as safetensors and what built the network.

MLflow's own PyTorch flavour either pickles (which runs code when opened; MLflow 3 refuses to load it by
default) or stores a graph traced from an example (`pt2`), which fixes sizes, cannot be trained on and
does not exist for every method. This one needs no example, runs no code and gives the method back.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlflow.artifacts
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from pydantic import TypeAdapter
from safetensors.torch import load_file, save_file

from skelray.platform import paths, registry
from skelray.platform.config import build
from skelray.platform.errors import CheckpointError
from skelray.platform.method import DataSpec, Method
from skelray.platform.tracking import store
from skelray.platform.training.build import build_method
from skelray.platform.training.checkpoint import Checkpoint

FLAVOUR = "skelray"
_WEIGHTS, _ABOUT = "weights.safetensors", "model.json"
_DATA_SPEC = TypeAdapter(DataSpec)

_README = """# {name}, step {step}

```python
from skelray.platform.tracking.model import load_model

method = load_model("models:/{model_id}")  # with MLFLOW_TRACKING_URI={uri}
features = method.features(views, {outputs})
```

`{weights}` holds the tensors, `{about}` the configuration and the skeleton they were made for.
The encoder alone is what lies under {encoders}.
"""


def write_model(
    folder: Path, method: Method, checkpoint: Checkpoint, *, model_id: str, run_id: str
) -> None:
    """Fills `folder` with a loadable MLflow model of the checkpoint's weights."""
    folder.mkdir(parents=True, exist_ok=True)
    state = checkpoint.load()["method"]
    # clones: safetensors refuses tensors that share memory, and strict loading wants every name
    save_file({name: value.clone().contiguous() for name, value in state.items()}, folder / _WEIGHTS)
    about = {
        "config": checkpoint.about["config"],
        "data": _DATA_SPEC.dump_python(method.data, mode="json"),
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


def load_model(uri: str) -> Method:
    """The method of an MLflow model ("models:/m-…") with its weights, in eval mode.

    Its package must be installed. CheckpointError where the model is missing or does not fit.
    """
    try:
        folder = Path(
            mlflow.artifacts.download_artifacts(artifact_uri=uri, tracking_uri=store.tracking_uri())
        )
        about: dict[str, Any] = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
        weights = load_file(folder / _WEIGHTS)
    except (MlflowException, OSError, json.JSONDecodeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{uri} cannot be read from {store.tracking_uri()}: {reason}") from None
    tree = about["config"]
    config = build(registry.load_method(tree["name"]).Config, tree)
    method = build_method(config, _DATA_SPEC.validate_python(about["data"]))
    try:
        method.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{uri} does not fit its method: {reason}") from None
    return method.eval()
