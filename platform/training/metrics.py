"""`metrics.jsonl`: every number of a run, one record a line, the source that MLflow is filled from.

A record is {"step", "epoch", "phase", "time", "metrics": {name: value}}. Records after the last
checkpoint are dropped when a run goes on from it, so that no step appears twice.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from skelray.platform import paths


class MetricsFile:
    """Appends records, and reads them back."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, step: int, metrics: Mapping[str, float], **fields: Any) -> None:
        """Writes one record; `time` is in seconds since 1970."""
        record = {"step": step, "time": time.time(), **fields, "metrics": dict(metrics)}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self.path.open("a+b") as file:
                if file.tell() and not self._ends_in_newline(file):  # cut by a kill, a full disk
                    file.write(b"\n")
                file.write(json.dumps(record).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:  # a full disk does not say which file
            raise OSError(error.errno, error.strerror, str(self.path)) from None

    @staticmethod
    def _ends_in_newline(file: BinaryIO) -> bool:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"

    def read(self) -> list[dict[str, Any]]:
        """All whole records; a line cut by a kill is left out."""
        if not self.path.exists():
            return []
        records = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError:
                continue
        return records

    def cut_after(self, step: int) -> None:
        """Drops records of steps that will be repeated."""
        kept = [json.dumps(record) for record in self.read() if record["step"] <= step]
        paths.write_text(self.path, "".join(f"{line}\n" for line in kept))
