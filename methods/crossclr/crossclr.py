"""CrosSCLR: streams of one skeleton that, after a while, supply each other with positives.

Source: section 3.2 of the paper; LinguoLi/CrosSCLR, net/crossclr_2views.py and crossclr_3views.py.
Where the paper and its code differ (the loss averages log-probabilities, and products of two
streams' similarities enter as further logits), this follows the code. Shapes as in contrast.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, permutations
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from skelray.methods.crossclr.config import AS_DESCRIBED, SMALL, CrosSCLRConfig
from skelray.methods.crossclr.contrast import StreamContrast
from skelray.platform.errors import CheckpointError
from skelray.platform.method import DataSpec, Progress, PublishedState, Step, Views
from skelray.platform.objectives.contrastive import (
    Contrast,
    Logits,
    contrast_top1,
    info_nce,
    multi_positive_nce,
)


class CrosSCLR(StreamContrast):
    """SkeletonCLR on every stream, then positives of each stream from the others."""

    Config = CrosSCLRConfig
    PRESETS: ClassVar = {
        "as_described": AS_DESCRIBED,
        "small": {**SMALL, **AS_DESCRIBED, "cross_epoch": 0.5},
    }
    config: CrosSCLRConfig

    def __init__(self, config: CrosSCLRConfig, data: DataSpec) -> None:
        super().__init__(config, data, config.streams, shared_tail=config.shared_tail)

    def crosses(self, progress: Progress) -> bool:
        """True from the epoch on in which the streams exchange positives."""
        start = self.config.cross_epoch
        return progress.epoch >= (start * progress.epochs if 0 < start < 1 else start)

    def before_step(self, progress: Progress) -> None:
        """The key encoders follow: in the cross phase, as published, that of motion alone."""
        config = self.config
        moving = [
            stream
            for name, stream in self.each()
            if name == "motion" or config.cross_key_update == "all" or not self.crosses(progress)
        ]
        for number, stream in enumerate(moving):
            again = number > 0 and config.shared_tail and config.tail_update == "once"
            stream.move_key(config.momentum, tail=not again)

    def forward(self, views: Views, progress: Progress) -> Step:
        """The sum of the streams' losses."""
        contrasted, trace = self.contrast(views)
        single = {
            name: info_nce(one.query, one.key, one.queue, self.config.temperature)
            for name, one in contrasted.items()
        }
        losses = {name: contrast.loss for name, contrast in single.items()}
        if self.crosses(progress):
            losses = self._crossed(single)
        return Step(
            loss=torch.stack(list(losses.values())).sum(),
            terms=losses,
            figures={
                f"contrast_top1_{name}": contrast_top1(contrast.logits)
                for name, contrast in single.items()
            },
            carry=self.carry(contrasted),
            trace=trace,
        )

    def _crossed(self, single: dict[str, Contrast]) -> dict[str, Tensor]:
        """Each stream's loss, the mean over the streams that supply its positives."""
        own = {name: Logits(contrast.logits) for name, contrast in single.items()}
        nearest, context = self._nearest(single), self._context(single)
        losses: dict[str, list[Tensor]] = {name: [] for name in single}
        for learner, source in permutations(single, 2):
            mined = nearest[source]
            logits, positives = [own[learner]], [functional.pad(mined + 1, (1, 0))]  # 0: its key
            if self.config.context:
                logits.append(context[frozenset((learner, source))])
                positives.append(mined)
            losses[learner].append(multi_positive_nce(logits, positives))
        return {name: torch.stack(values).mean() for name, values in losses.items()}

    def _nearest(self, single: dict[str, Contrast]) -> dict[str, Tensor]:
        """By stream, the places (N, topk) of the queued keys most similar to each query."""
        return {
            name: contrast.logits[:, 1:].detach().topk(self.config.topk, dim=1).indices
            for name, contrast in single.items()
        }

    def _context(self, single: dict[str, Contrast]) -> dict[frozenset[str], Logits]:
        """By pair of streams, the products of their similarities with the queue (N, K).

        As logits: similarities times temperature twice, divided by it once.
        """
        if not self.config.context:
            return {}
        return {
            frozenset((a, b)): Logits(
                single[a].logits[:, 1:] * single[b].logits[:, 1:] * self.config.temperature
            )
            for a, b in combinations(single, 2)
        }

    @classmethod
    def published(cls, states: Sequence[Mapping[str, Tensor]], network: str) -> PublishedState:
        """Checkpoints of LinguoLi/CrosSCLR with two or three streams."""
        found = super().published(states, network)
        if "streams" not in found.config:
            raise CheckpointError("the checkpoint is of one stream: it is one of skeletonclr")
        return found
