"""Published weights as a run that `skelray evaluate` measures like any other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from skelray.platform import paths, registry
from skelray.platform.config import parse_overrides, resolve
from skelray.platform.errors import UsageError
from skelray.platform.preparation import check_data, open_source
from skelray.platform.published import load_strictly, settings_of, translated
from skelray.platform.training import checkpoint
from skelray.platform.training.build import build_method, require_skeleton
from skelray.platform.training.job import description


def import_weights(
    name: str, files: Sequence[Path], experiment: str, overrides: Sequence[str] = ()
) -> Path:
    """Writes the original's pretraining checkpoint as a run of method `name`; returns its folder.

    `experiment` says on which data the weights are measured; the method's settings are its
    published ones, what the tensors' shapes imply, and `method.…=value` overrides. CheckpointError
    where a tensor does not fit, or where the data's skeleton is not the one that was trained on.
    """
    kind = registry.load_method(name)
    published = translated(kind, files, "pretrain")
    given = parse_overrides(overrides)
    settings = settings_of(kind, published, given.get("method", {}))
    if "preset" in given:
        raise UsageError("weights come with their settings: preset= cannot be given, method.…= can")
    others = [one for one in overrides if not one.startswith("method.")]
    config = resolve(name, experiment, [f"preset={kind.DEFAULTS}", *others])
    config = config.model_copy(update={"method": settings})
    check_data(config.data)
    source = open_source(config.data)
    require_skeleton(str(files[0]), published.data, source.spec)
    method = build_method(config, source.spec)
    load_strictly(method, published.state, published.absent, source=str(files[0]))
    origin = {file.name: paths.file_hash(file) for file in files}
    identity = paths.short_hash([config.identity(source.version), origin])
    folder = paths.runs() / f"{name}-{experiment}-imported-{identity}"
    about = {
        **description(config, source, method),
        "step": 0,
        "progress": {},
        "finished": True,
        "imported": identity,
        "files": origin,  # name -> SHA-256
    }
    state = {"method": method.state_dict()}
    checkpoint.save(folder / "checkpoints", state=state, about=about, keep=1)
    return folder
