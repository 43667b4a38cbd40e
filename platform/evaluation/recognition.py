"""The accuracy of a method's own recognition head, where it was trained on labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch

from skelray.platform.data.source import Source
from skelray.platform.evaluation.features import over_part
from skelray.platform.evaluation.labelled import accuracies
from skelray.platform.evaluation.probes import Measurement, Place, Split, Value
from skelray.platform.method import Method


def recognises(method: Method) -> bool:
    """Whether it has a recognition head, and a phase that reads labels to train it."""
    return type(method).logits is not Method.logits and any(p.labels for p in method.phases())


@dataclass(frozen=True, kw_only=True)
class Recognition(Measurement):
    """`recognition`: the test part under the method's own head; no Ray."""

    method: Method
    source: Source
    figures: frozenset[str] = field(
        default=frozenset(f"recognition/{name}" for name in ("top1", "top5", "mean_class"))
    )

    def __call__(self, split: Split, place: Place) -> Iterator[tuple[str, Value]]:
        """Reads the recordings that `split` tests on, whose features it does not need."""
        output = next(iter(self.method.outputs))
        asked = over_part(
            self.source, self.method, output, "test", lambda method, views: [method.logits(views)]
        )
        scores = torch.cat([logits.float() for (logits,) in asked])
        index = next(iter(self.source.caches(self.method.inputs(output)).values())).index
        label = index["label"][self.source.rows(index, "test")]
        known = np.flatnonzero(label >= 0)
        for name, value in accuracies(scores[known], torch.from_numpy(label[known])).items():
            yield f"recognition/{name}", value
