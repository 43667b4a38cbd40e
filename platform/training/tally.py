"""What an epoch has come to so far: figures, samples and time, kept when it is interrupted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from skelray.platform import distributed


@dataclass
class Tally:
    """Sums over the steps of an epoch."""

    sums: dict[str, Tensor] = field(default_factory=dict)  # scalars, of this rank
    steps: int = 0
    samples: int = 0  # of all ranks
    seconds: float = 0.0
    waited: float = 0.0  # seconds of these spent waiting for batches

    @classmethod
    def from_state(cls, state: Mapping[str, Any], device: torch.device) -> Tally:
        """What `state_dict` has kept."""
        sums = {name: total.to(device) for name, total in state["sums"].items()}
        return cls(**{**state, "sums": sums})

    @property
    def samples_per_s(self) -> float:
        """Of all ranks."""
        return self.samples / self.seconds

    @property
    def data_wait_pct(self) -> float:
        """Share of the time in which a step waited for its batch."""
        return 100.0 * self.waited / self.seconds

    def add(self, figures: Mapping[str, Tensor], samples: int) -> None:
        """Counts a step."""
        for name, value in figures.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value.clone()
        self.steps += 1
        self.samples += samples

    def figures(self) -> dict[str, float]:
        """Means over steps and ranks, and the speed."""
        means = {
            name: float(distributed.mean_over_ranks(total / self.steps))
            for name, total in self.sums.items()
        }
        return {
            **means,
            "time/step_s": self.seconds / self.steps,
            "time/data_wait_pct": self.data_wait_pct,
            "perf/samples_per_s": self.samples_per_s,
        }

    def state_dict(self) -> dict[str, Any]:
        """Everything, its sums averaged over ranks: all of them go on from the same."""
        sums = {name: distributed.mean_over_ranks(total) for name, total in self.sums.items()}
        return {**vars(self), "sums": {name: total.cpu() for name, total in sums.items()}}
