"""The class of a data set, before any recording is read."""

from __future__ import annotations

import re
from collections.abc import Iterator

from skelray.platform.dataset import Dataset, Protocol
from skelray.platform.validation.findings import Findings, Kind

CLASS = Kind("error", "the data set's class")

_FIELDS = ("subject", "camera", "setup", "id")
_REQUIRED = ("name", "skeleton", "persons", "classes", "protocols")
_TAKEN = re.compile(r"loso[0-9]+", re.IGNORECASE)  # leave one subject out


def check_class(dataset: type[Dataset], findings: Findings) -> None:
    """Adds what is missing in the class or contradicts itself."""
    missing = [name for name in _REQUIRED if not hasattr(dataset, name)]
    for name in missing:
        findings.add(CLASS, f"{dataset.__qualname__} names no {name}")
    if missing:
        return
    if twice := sorted({name for name in dataset.classes if dataset.classes.count(name) > 1}):
        findings.add(CLASS, f"classes holds {twice[0]!r} twice")
    if dataset.persons < 1:
        findings.add(CLASS, f"persons is {dataset.persons}: at least 1")
    for protocol in dataset.protocols:
        for problem in _problems(protocol):
            findings.add(CLASS, f"protocol {protocol.name!r}: {problem}")


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
