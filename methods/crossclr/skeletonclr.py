"""SkeletonCLR: momentum contrast of one stream of skeletons.

Source: section 3.1 of the paper; LinguoLi/CrosSCLR, net/skeletonclr.py. Shapes as in contrast.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from torch import Tensor

from skelray.methods.crossclr.config import SMALL, SkeletonCLRConfig
from skelray.methods.crossclr.contrast import StreamContrast
from skelray.platform.errors import CheckpointError
from skelray.platform.method import DataSpec, Progress, PublishedState, Step, Views
from skelray.platform.objectives.contrastive import contrast_top1, info_nce


class SkeletonCLR(StreamContrast):
    """InfoNCE of each query with its own key among the queued keys of the stream."""

    Config = SkeletonCLRConfig
    PRESETS: ClassVar = {"small": SMALL}
    config: SkeletonCLRConfig

    def __init__(self, config: SkeletonCLRConfig, data: DataSpec) -> None:
        super().__init__(config, data, (config.stream,))

    def forward(self, views: Views, progress: Progress) -> Step:
        """The loss of the stream."""
        contrasted, trace = self.contrast(views)
        one = contrasted[self.config.stream]
        contrast = info_nce(one.query, one.key, one.queue, self.config.temperature)
        return Step(
            loss=contrast.loss,
            figures={"contrast_top1": contrast_top1(contrast.logits)},
            carry=self.carry(contrasted),
            trace={**trace, "logits": contrast.logits.detach()},
        )

    @classmethod
    def published(cls, states: Sequence[Mapping[str, Tensor]], network: str) -> PublishedState:
        """Checkpoints of LinguoLi/CrosSCLR with one stream; they do not say which."""
        found = super().published(states, network)
        if "streams" in found.config:
            raise CheckpointError("the checkpoint is of several streams: it is one of crossclr")
        return found
