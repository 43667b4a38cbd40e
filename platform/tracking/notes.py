"""What the tracker remembers of a run between starts: a section of `<run folder>/run.json`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from skelray.platform import paths

_SECTION = "mlflow"


@dataclass
class Notes:
    """One store's view of the run; a store with another address has its own."""

    run_id: str = ""  # empty: no MLflow run yet
    described: bool = False  # parameters, tags and files of this start are there
    metrics_step: int = -1  # records of metrics.jsonl up to this step are there
    evaluations: int = 0  # so many records of evaluations.jsonl are there
    models: dict[str, str] = field(default_factory=dict)  # checkpoint's name -> MLflow model id

    @classmethod
    def read(cls, file: Path, uri: str) -> Notes:
        """The notes on the store at `uri`; new ones where there are none."""
        return cls(**_document(file).get(_SECTION, {}).get(uri, {}))

    def write(self, file: Path, uri: str) -> None:
        """Keeps them; what others wrote into the file stays."""
        document = _document(file)
        document.setdefault(_SECTION, {})[uri] = asdict(self)
        paths.write_json(file, document)


def _document(file: Path) -> dict[str, Any]:
    if not file.exists():
        return {}
    document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return document
