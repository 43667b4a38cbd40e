"""Where everything lives: below SKELRAY_HOME (default ~/skelray), not in the working directory."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any


def home() -> Path:
    """SKELRAY_HOME; several nodes need it on shared storage."""
    return Path(os.environ.get("SKELRAY_HOME", "~/skelray")).expanduser().resolve()


def stores() -> Path:
    """Prepared data sets."""
    return home() / "stores"


def caches() -> Path:
    """Preprocessed data sets and extracted features; may be deleted at any time."""
    return home() / "caches"


def clips() -> Path:
    """Compressed videos of prepared data sets."""
    return home() / "clips"


def runs() -> Path:
    """One folder per run: config, metrics, checkpoints, evaluations."""
    return home() / "runs"


def classifiers(run: Path) -> Path:
    """One folder per classifier that was trained to measure a run's encoder."""
    return run / "classifiers"


def transfers(run: Path) -> Path:
    """One folder per data set, other than a run's own, on which its encoder was measured."""
    return run / "transfer"


def summaries() -> Path:
    """Figures of several runs together, such as those of one configuration's seeds."""
    return home() / "summaries"


def raw() -> Path:
    """Raw recordings that skelray generated."""
    return home() / "raw"


def short_hash(tree: Any) -> str:
    """Twelve letters that name what can be written as JSON; keys in any order."""
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:12]


def write_text(path: Path, text: str, *, durable: bool = True) -> None:
    """Writes atomically: readers see the old file or the whole new one.

    After a power cut too, where it is `durable`, which waits for the disk.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    with scratch.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        if durable:
            os.fsync(file.fileno())  # else the new name may reach the disk before the bytes
    scratch.replace(path)


def flush_folder(path: Path) -> None:
    """Returns when the names in a folder are on the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def write_json(path: Path, value: Any) -> None:
    """Writes JSON atomically."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True) + "\n")


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
