"""`status.json`: where a run is at this moment, for whoever looks at its folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from skelray.platform import paths


@dataclass(frozen=True, kw_only=True)
class Status:
    """The newest step, all counts from 1."""

    phase: str
    epoch: int
    epochs: int
    step: int  # of this epoch
    steps: int
    loss: float
    samples_per_s: float
    data_wait_pct: float

    @property
    def done(self) -> int:
        """Steps of the phase that are done."""
        return (self.epoch - 1) * self.steps + self.step

    @classmethod
    def read(cls, folder: Path) -> Status | None:
        """The status of the run in `folder`; None where there is none that can be read."""
        try:
            return cls(**json.loads((folder / "status.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):  # it is shown, nothing depends on it
            return None

    def write(self, folder: Path) -> None:
        """Replaces the run's status; training does not wait for the disk."""
        paths.write_text(folder / "status.json", json.dumps(asdict(self)), durable=False)
