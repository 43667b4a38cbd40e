"""The class of a data set, before any recording is read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from typing import get_args

from skelray.platform.dataset import Dataset, Metric, Protocol
from skelray.platform.validation.findings import Findings, Kind

CLASS = Kind("error", "the data set's class")

_FIELDS = ("subject", "camera", "setup", "id")
_REQUIRED = ("name", "skeleton", "persons", "classes", "protocols")
_TAKEN = re.compile(r"loso[0-9]+", re.IGNORECASE)  # leave one subject out


def check_class(dataset: type[Dataset], findings: Findings) -> None:
    """Adds what is missing in the class or contradicts itself."""
    for problem in (
        _missing(dataset)
        or _malformed(dataset.classes, dataset.protocols)
        or _contradictions(dataset)
    ):
        findings.add(CLASS, problem)


def _missing(dataset: type[Dataset]) -> list[str]:
    own = dataset.__qualname__
    if fields := [f"{own} names no {name}" for name in _REQUIRED if not hasattr(dataset, name)]:
        return fields
    return [f"{own} does not define {name}" for name in sorted(dataset.__abstractmethods__)]


def _malformed(classes: object, protocols: object) -> list[str]:
    """Tuples of one without their comma."""
    found = []
    if isinstance(classes, str):
        found.append(f"classes is {classes!r}, expected a tuple: write ({classes!r},)")
    if isinstance(protocols, Protocol):
        found.append("protocols is one Protocol, expected a tuple of them: put a comma after it")
    return found


def _contradictions(dataset: type[Dataset]) -> Iterator[str]:
    if twice := sorted({name for name in dataset.classes if dataset.classes.count(name) > 1}):
        yield f"classes holds {twice[0]!r} twice"
    if dataset.persons < 1:
        yield f"persons is {dataset.persons}: at least 1"
    if dataset.metric not in (metrics := get_args(Metric)):
        yield f"metric is {dataset.metric!r}, expected one of {', '.join(metrics)}"
    for protocol in dataset.protocols:
        for problem in _mistyped(protocol) or [*_problems(protocol), *_classes(dataset, protocol)]:
            yield f"protocol {protocol.name!r}: {problem}"


def _mistyped(protocol: Protocol) -> list[str]:
    """Sets that are none, and values that no recording's field can equal."""
    found = []
    classes: object = protocol.classes
    if isinstance(classes, str):
        found.append(f"classes is {classes!r}, expected a tuple")
    for name in ("train", "holdout", "test"):
        values = getattr(protocol, name)
        if values is None:
            continue
        field = protocol.holdout_field if name == "holdout" else protocol.field
        if not isinstance(values, Set):
            found.append(f"{name} is a {type(values).__name__}, expected a frozenset")
        elif wrong := [value for value in values if isinstance(value, str) != (field == "id")]:
            kind = "a text" if field == "id" else "a whole number"
            found.append(f"{name} holds {wrong[0]!r}, but {field} is {kind}")
    return found


def _problems(protocol: Protocol) -> Iterator[str]:
    for name in ("field", "holdout_field"):
        if (value := getattr(protocol, name)) not in _FIELDS:
            yield f"{name} is {value!r}, expected one of {', '.join(_FIELDS)}"
    if not protocol.train:
        yield f"train names no {protocol.field}"
    if protocol.test is not None and (both := protocol.train & protocol.test):
        yield f"{protocol.field} {min(both)!r} is in train and in test"
    if protocol.holdout_field == protocol.field and (apart := protocol.holdout - protocol.train):
        yield f"holdout names {protocol.field} {min(apart)!r}, which is not in train"
    if _TAKEN.fullmatch(protocol.name):
        yield "names losoN mean leave subject N out"


def _classes(dataset: type[Dataset], protocol: Protocol) -> Iterator[str]:
    names = dataset.classes_under(protocol)
    if unknown := [name for name in names if name not in dataset.classes]:
        yield f"classes names {unknown[0]!r}, which is not one of the data set's"
    if protocol.classes is not None and len(set(names)) < len(names):
        yield "classes holds a name twice"
