"""`skelray check`: a data set by its name."""

from __future__ import annotations

from pathlib import Path

from skelray.platform import registry
from skelray.platform.data.inventory import find_store
from skelray.platform.errors import UsageError
from skelray.platform.validation.check import check_raw, check_store
from skelray.platform.validation.findings import Findings


def check(name: str, raw: Path | None, *, size: str = "", limit: int = 0) -> Findings:
    """Checks a data set's raw recordings, or without `raw` its prepared store.

    UsageError where the data set cannot be loaded, DataError where it is not prepared.
    """
    dataset = registry.load_dataset(name)
    if (own := getattr(dataset, "name", name)) != name:  # its store would lie under another name
        raise UsageError(f"data set {name} is named {own!r} in its class: make the names equal")
    if raw is None:
        return check_store(dataset, find_store(dataset, size), limit=limit)
    if not raw.exists():
        raise UsageError(f"--raw {raw} does not exist")
    return check_raw(dataset, raw, limit=limit)
