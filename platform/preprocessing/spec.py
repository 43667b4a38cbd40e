"""Preprocessing families by name: pure functions of one stored sample, with their parameters."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, get_type_hints

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from skelray.platform.dataset import SkeletonSample
from skelray.platform.errors import UsageError
from skelray.platform.skeleton.spec import SkeletonSpec


@dataclass(frozen=True, kw_only=True)
class Preprocessed:
    """One sample as a family of methods wants it; T may differ from sample to sample."""

    frames: np.ndarray  # (T, M, V, C) float32
    present: np.ndarray  # (T, M) bool
    length: int  # the length the family means, for example frames before resizing
    score: np.ndarray | None = None  # (T, M, V) float32: a pose estimator's confidence
    scalars: Mapping[str, float] = field(default_factory=dict)


Count = Annotated[int, Field(ge=1)]  # the type of a parameter that counts persons or frames

Function = Callable[..., Preprocessed]


@dataclass(frozen=True)
class _Family:
    function: Function
    version: int


_FAMILIES: dict[str, _Family] = {}


def register(name: str, *, version: int) -> Callable[[Function], Function]:
    """Registers a family; raise `version` when its numbers change, so that caches are made anew."""

    def add(function: Function) -> Function:
        assert name not in _FAMILIES, f"preprocessing {name!r} is registered twice"
        _FAMILIES[name] = _Family(function, version)
        return function

    return add


class Preprocessing(BaseModel):
    """A family and all its parameters, written out so that equal settings have equal keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    parameters: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, values: Any) -> Any:
        name, given = values["name"], dict(values.get("parameters", {}))
        if name not in _FAMILIES:
            known = ", ".join(sorted(_FAMILIES))
            raise UsageError(f"no preprocessing named {name!r}: choose one of {known}")
        signature = inspect.signature(_FAMILIES[name].function).parameters
        accepted = {k: p.default for k, p in signature.items() if p.kind is p.KEYWORD_ONLY}
        if unknown := set(given) - set(accepted):
            raise UsageError(
                f"preprocessing {name!r} has no parameter {sorted(unknown)[0]!r}: "
                f"it takes {', '.join(accepted)}"
            )
        return {"name": name, "parameters": accepted | _checked(name, given)}

    def __call__(self, sample: SkeletonSample, skeleton: SkeletonSpec) -> Preprocessed:
        """The sample prepared; a pure function."""
        return _FAMILIES[self.name].function(sample, skeleton, **self.parameters)

    def key(self) -> str:
        """Names the numbers this gives: the hash of family, version and parameters."""
        described = [self.name, _FAMILIES[self.name].version, self.parameters]
        text = json.dumps(described, sort_keys=True)
        return f"{self.name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _checked(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The given parameters as the family's annotations want them; UsageError where they do not."""
    hints = get_type_hints(_FAMILIES[name].function, include_extras=True)
    checked = {}
    for key, value in given.items():
        try:
            checked[key] = TypeAdapter(hints[key]).validate_python(value)
        except ValidationError as error:
            problem = error.errors()[0]["msg"]
            raise UsageError(f"preprocessing {name!r}, {key}={value!r}: {problem}") from None
    return checked
