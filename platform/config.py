"""The resolved configuration of a run: method defaults < preset < experiment's YAML < key=value.

Everything is validated by pydantic before anything starts; an unknown key names the nearest one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, ValidationError

from skelray.platform import paths, registry
from skelray.platform.errors import UsageError
from skelray.platform.method import EvalRecipe, MethodConfig


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataConfig(_Section):
    """Which recordings, which split, where their frames live during training."""

    dataset: str
    protocol: str
    size: str = ""  # of generated data sets
    clips: str = ""  # the clips of methods that read RGB, such as person-256
    residency: Literal["auto", "device", "host", "stream"] = "auto"
    decoders: int = Field(default=0, ge=0)  # threads per worker that decode clips; 0: its cores
    video_reader: Literal["decord", "pyav"] = "decord"  # the same pictures; docs/performance.md
    frames_in_flight: int = Field(default=8192, gt=0)  # decoded ahead of training, per worker


class TrainingConfig(_Section):
    """How training is spread and guarded; changes no number of the method."""

    workers: int = Field(default=1, ge=1)
    cpus_per_worker: float = Field(default=1.0, gt=0)
    gpus_per_worker: float | None = Field(default=None, ge=0)  # empty: one where there are enough
    threads: int = Field(default=0, ge=0)  # of torch per worker; 0: the node's cores, shared
    accumulate: int = Field(default=1, ge=1)
    compile: bool = False
    checkpoint_every: int = Field(default=1, gt=0)  # epochs
    keep_checkpoints: int = Field(default=2, gt=0)
    max_failures: int = Field(default=3, ge=0)  # restarts without a new checkpoint between
    grace: float = Field(default=60.0, ge=0)  # seconds for a last checkpoint on SIGTERM, Ctrl-C
    patience: float = Field(default=600.0, gt=0)  # seconds to wait for nodes that were lost


class EvaluationConfig(_Section):
    """What is measured on a checkpoint."""

    linear: tuple[str, ...] = ("published",)  # recipes: published, fast, logistic
    knn: tuple[int, ...] = (1, 20)
    retrieval: tuple[int, ...] = (1, 5, 10)  # ranks k of r<k>; empty: no retrieval
    clustering: bool = True
    finetune: tuple[str, ...] = ()  # outputs whose encoder is trained on with labels
    scratch: tuple[str, ...] = ()  # outputs whose encoder is trained so from initial weights
    # output -> shares of the labels with which its encoder is trained on, such as 0.01 and 0.1
    semi: dict[str, tuple[Annotated[float, Field(gt=0, lt=1)], ...]] = {}
    # changes of the method's recipes, such as recipes.finetune.epochs=20
    recipes: dict[Literal["linear", "finetune", "scratch", "semi"], dict[str, Any]] = {}
    outputs: tuple[str, ...] = ()  # empty: all of the method's
    # rows for raw coordinates and the random encoder; of few labels, training from scratch too
    baselines: bool = True
    pictures: bool = True
    # epochs between t-SNE pictures in training; 0: none, as without `pictures`
    tsne_every: int = Field(default=0, ge=0)
    batch: int = Field(default=128, gt=0)
    workers: int = Field(default=2, ge=1)  # actors that extract features


class RunConfig(_Section):
    """One run, completely: equal configurations on equal data give equal results."""

    name: str  # of the method
    experiment: str
    preset: str = ""
    seed: int = 0
    data: DataConfig
    method: SerializeAsAny[MethodConfig]
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()

    def identity(self, data_version: str, *, seeded: bool = True) -> str:
        """The run's id: of what determines its weights (not how it is spread or evaluated).

        Unless `seeded`, equal for the runs of one configuration with different seeds.
        """
        decides = self.model_dump(mode="json", include={"name", "seed", "data", "method"})
        if not seeded:
            decides.pop("seed")
        for name in ("residency", "decoders", "video_reader", "frames_in_flight"):
            decides["data"].pop(name)
        if not self.data.clips:
            decides["data"].pop("clips")
        decides["accumulate"] = self.training.accumulate
        decides |= self._further()
        return paths.short_hash([decides, data_version])

    def _further(self) -> dict[str, Any]:
        """What else decides the weights."""
        return {}

    def flat(self) -> dict[str, Any]:
        """Dotted key -> value, for tables."""
        return dict(_flatten(self.model_dump(mode="json")))


class ClassifierSettings(_Section):
    """A classifier that is trained on recordings and their labels, to measure an encoder."""

    measure: str  # in its figures' names: linear, finetune, semi10 …
    start: str  # in front of them: what it begins with
    output: str  # of the method
    recipe_name: str
    recipe: EvalRecipe
    share: float = 1.0  # of the labels of each class
    trained_on: dict[str, Any] = {}  # the method's DataSpec; empty: that of the data
    checkpoint: str = ""  # whose weights it begins with; empty: the initial ones
    checkpoint_hash: str = ""

    @property
    def began(self) -> str:
        """With which weights: pretrained, random, scratch."""
        return "pretrained" if self.start == "eval" else self.start.rpartition("/")[2]

    @property
    def title(self) -> str:
        """What is trained, such as finetune-pretrained-joint."""
        return f"{self.measure}-{self.began}-{self.output}"


class ClassifierConfig(RunConfig):
    """The training of a classifier, as evaluations ask for it."""

    classifier: ClassifierSettings

    def _further(self) -> dict[str, Any]:
        return {"classifier": self.classifier.model_dump(mode="json", exclude={"checkpoint"})}


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def resolve(method: str, experiment: str, overrides: Sequence[str] = ()) -> RunConfig:
    """The configuration of the method named `method` on `experiment` with `key=value` overrides.

    UsageError names the unknown method, experiment, preset or key and the nearest valid one.
    """
    kind = registry.load_method(method)
    tree = read_experiment(method, experiment)
    given = parse_overrides(overrides)
    preset = str(given.pop("preset", tree.pop("preset", "")) or kind.DEFAULTS)
    presets = {kind.DEFAULTS: {}, **kind.PRESETS}
    if preset not in presets:
        hint = registry.nearest(preset, presets)
        raise UsageError(f"method {method} has no preset {preset!r}: {hint}")
    values: dict[str, Any] = {"method": presets[preset]}
    merge(values, tree)
    merge(values, given)
    if fixed := {"name", "experiment"} & set(values):
        raise UsageError(f"key {min(fixed)!r} cannot be set: it is an argument of its own")
    if "classifier" in values:
        raise UsageError("'classifier' cannot be set: evaluation.finetune=[OUTPUT] asks for one")
    chosen = "" if preset == kind.DEFAULTS else preset
    return build(
        kind.Config, {"name": method, "experiment": experiment, "preset": chosen, **values}
    )


def build(method: type[MethodConfig], tree: Mapping[str, Any]) -> RunConfig:
    """Validates a tree of values; `method` is the method's Config."""
    values = dict(tree)
    own = [f"method.{name}" for name in keys_of(method)]
    try:
        values["method"] = method.model_validate(values.get("method", {}))
    except ValidationError as error:
        raise UsageError(explain(error, own, ("method",))) from None
    kind = ClassifierConfig if "classifier" in values else RunConfig
    try:
        return kind(**values)
    except ValidationError as error:
        raise UsageError(explain(error, [*keys_of(RunConfig), *own])) from None


def read_experiment(method: str, experiment: str) -> dict[str, Any]:
    """The tree of an experiment's YAML."""
    files = registry.experiment_files()
    known = [name for owner, name in files if owner == method]
    if experiment not in known:
        hint = registry.nearest(experiment, known)
        raise UsageError(f"method {method} has no experiment {experiment!r}: {hint}")
    return read_yaml(files[method, experiment])


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping; UsageError names file and line."""
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except (yaml.YAMLError, ValueError, OSError) as error:  # ValueError: no UTF-8, no such date
        raise UsageError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(tree, dict):
        raise UsageError(f"{path} must hold a mapping of keys to values")
    return tree


class _Loader(yaml.SafeLoader):
    """Reads 1e-4 as a number: PyYAML follows YAML 1.1, which wants 1.0e-4."""


_Loader.yaml_implicit_resolvers = {
    first: list(resolvers) for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def parse_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """["method.lr=0.1", …] as a tree; values are read as YAML."""
    tree: dict[str, Any] = {}
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise UsageError(f"{override!r} is not of the form key=value")
        try:
            value = yaml.load(text, Loader=_Loader)
        except (yaml.YAMLError, ValueError):
            raise UsageError(f"the value of {override!r} cannot be read") from None
        branch: dict[str, Any] = {}
        leaf = branch
        *parents, last = key.split(".")
        for parent in parents:
            leaf = leaf.setdefault(parent, {})
        leaf[last] = value
        merge(tree, branch)
    return tree


def merge(base: dict[str, Any], over: Mapping[str, Any]) -> None:
    """Lays `over` upon `base`, mapping by mapping, in place."""
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(base.get(key), Mapping):
            base[key] = dict(base[key])
            merge(base[key], value)
        else:
            base[key] = dict(value) if isinstance(value, Mapping) else value


def explain(error: ValidationError, known: Sequence[str], prefix: Sequence[str] = ()) -> str:
    """One line of pydantic's first complaint: the dotted key, what is wrong, the nearest key."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in (*prefix, *first["loc"]))
    if first["type"] == "extra_forbidden":
        # the section is what is forgotten most: lr for method.lr
        known = [name for name in known if name.endswith(f".{key}")] or known
        return f"unknown key {key!r}: {registry.nearest(key, known)}"
    if first["type"] == "missing":
        return f"key {key!r} is missing: give it in the experiment's YAML or as {key}=VALUE"
    return f"{key}={first['input']!r}: {first['msg']}"


def keys_of(model: type[BaseModel]) -> Iterator[str]:
    """All dotted keys of a pydantic model."""
    for name, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from (f"{name}.{inner}" for inner in keys_of(info.annotation))
        yield name
