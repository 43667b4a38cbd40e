"""The contrastive losses completed: per sample, cosines at a temperature, queues that fill.

The published code has the sign of its losses inverted and averages over the batch before it
compares (coded.py). Here a prediction finds the momentum key of its own sample, and those of
samples that the encoder holds similar, among the keys of a queue; the video losses are those of
SeCo (Yao et al., AAAI 2021). Shapes: B bodies, N samples, D a width, Q rows of a queue, F frames.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from skelray.methods.lstcl.config import LSTCLConfig
from skelray.methods.lstcl.links import LinkEncoder
from skelray.methods.lstcl.seen import FromVideo, Outcome, Predicted
from skelray.methods.lstcl.video import VideoPart, reordered, shown
from skelray.platform.distributed import mean_over_ranks
from skelray.platform.nn.modes import fixed_statistics
from skelray.platform.nn.queue import FeatureQueue
from skelray.platform.objectives.contrastive import contrast_top1, info_nce, unit_vectors


def weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """The mean of `values` (n,) over those of weight 1, which may differ in number among ranks."""
    count = mean_over_ranks(weight.sum())
    return (values * weight).sum() / count.clamp(min=1e-6)


class RunningMean(nn.Module):
    """A moving mean of batches, the mean of all while there are few; zeros before the first."""

    total: Tensor
    weight: Tensor

    def __init__(self, decay: float, *shape: int) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("total", torch.zeros(shape))
        self.register_buffer("weight", torch.zeros(()))

    def value(self) -> Tensor:
        """The mean."""
        return self.total / self.weight.clamp(min=1 - self.decay)

    @torch.no_grad()
    def update(self, batch: Tensor) -> None:
        """Takes in the mean over the first axis of `batch`."""
        self.total.lerp_(batch.mean(0).to(self.total.dtype), 1 - self.decay)
        self.weight.lerp_(torch.ones_like(self.weight), 1 - self.decay)


def filled(queue: FeatureQueue) -> Tensor:
    """The rows that hold keys (Q, D)."""
    return queue.features[: int(queue.filled)]


class VideoContrast(nn.Module):
    """The four losses of the video part on bodies that are there."""

    def __init__(self, config: LSTCLConfig, width: int) -> None:
        super().__init__()
        self.temperature = config.temperature
        self.inter, self.segments = (FeatureQueue(config.video_queue, width) for _ in range(2))

    def forward(self, part: VideoPart, links: LinkEncoder, x: FromVideo) -> Outcome:
        """Losses `inter`, `intra`, `video`, `order`; keys for `remember`."""
        see = shown(x.clips)
        with fixed_statistics(links):  # evaluation infers links of clips, not of stretched frames
            query = {
                "inter": part["inter"].query(see.first, links),
                "intra": part["intra"].query(see.first, links),
                "segments": part["segments"].query(see.begins, links),
            }
            order = part.order(
                reordered(see.begins, x.orders[:, 0]), reordered(see.ends, x.orders[:, 1]), links
            )
            with torch.no_grad():
                frames = {"augmented": None, "middle": see.middle, "end": see.end}
                keys = {
                    f"{name}/{which}": part[name].key(
                        x.augmented[name] if frame is None else frame, links
                    )
                    for name in ("inter", "intra")
                    for which, frame in frames.items()
                }
                keys["segments"] = part["segments"].key(see.ends, links)
        q = {name: unit_vectors(z.flatten(1)) for name, z in query.items()}
        k = {name: unit_vectors(z.flatten(1)) for name, z in keys.items()}
        losses = {
            "inter": torch.stack(
                [self._nce(q["inter"], k[f"inter/{which}"], self.inter) for which in frames]
            ).mean(0),
            "intra": self._intra(q["intra"], *(k[f"intra/{which}"] for which in frames)),
            "video": self._nce(q["segments"], k["segments"], self.segments),
            "order": functional.cross_entropy(order.float(), x.order_label, reduction="none"),
        }
        return Outcome(
            terms={name: weighted_mean(values, x.present) for name, values in losses.items()},
            carry={
                "inter": k["inter/augmented"],
                "segments": k["segments"],
                "present": x.present,
            },
        )

    def _nce(self, query: Tensor, key: Tensor, queue: FeatureQueue) -> Tensor:
        logits = info_nce(query, key, filled(queue), self.temperature).logits
        return -functional.log_softmax(logits, dim=1)[:, 0]

    def _intra(self, query: Tensor, own: Tensor, *others: Tensor) -> Tensor:
        similar = torch.stack([(query * key).sum(1) for key in (own, *others)], dim=1)
        return -functional.log_softmax(similar / self.temperature, dim=1)[:, 0]

    def remember(self, carry: Mapping[str, Tensor]) -> None:
        """Enqueues the keys of the global batch's bodies that are there."""
        there = carry["present"] > 0
        self.inter.enqueue(carry["inter"][there])
        self.segments.enqueue(carry["segments"][there])


class PredictionContrast(nn.Module):
    """The error of predictions relative to no motion, and the contrast of predicted motions."""

    def __init__(self, config: LSTCLConfig, width: int, feature_dim: int) -> None:
        super().__init__()
        self.config = config
        self.keys = FeatureQueue(config.queue, width)
        self.features = FeatureQueue(config.queue, feature_dim)
        self.labels: FeatureQueue | None = None
        if config.positives == "labels":
            self.labels = FeatureQueue(config.queue, 1)  # no vectors: classes of the same rows
        self.motion = RunningMean(config.average)  # mean square
        self.centre = RunningMean(config.average, width)  # of keys

    def forward(self, x: Predicted) -> Outcome:
        """Losses `prediction`, `contrast`; what `remember` takes in."""
        key, last = x.key.float(), x.last.float()[:, :, None]
        moved = (x.target - last).square().flatten(1).mean(1)
        prediction = (x.pred.float() - x.target).square().mean() / self._scale(moved)
        base = last if self.config.space == "motion" else 0.0
        query_motion, key_motion = (x.pred.float() - base).flatten(1), (key - base).flatten(1)
        query, own = self._unit(query_motion), self._unit(key_motion)
        logits = info_nce(query, own, filled(self.keys), self.config.temperature).logits
        positive = self._positives(x)
        chosen = logits.masked_fill(~positive, float("-inf"))
        contrast = (logits.logsumexp(1) - chosen.logsumexp(1)).mean()
        carry = {
            "moved": moved,
            "key": own,
            "motion": key_motion,
            "feature": unit_vectors(x.feature),
        }
        if self.labels is not None and x.label is not None:
            carry["label"] = x.label[:, None].float()
        return Outcome(
            terms={"prediction": prediction, "contrast": contrast},
            figures={"contrast_top1": contrast_top1(logits)},
            carry={name: rows.detach() for name, rows in carry.items()},
        )

    def _scale(self, moved: Tensor) -> Tensor:
        """The running mean square motion; in the first step that of the batch."""
        now = torch.where(
            self.motion.weight > 0, self.motion.value(), mean_over_ranks(moved.mean())
        )
        return now + 1e-6

    def _unit(self, motion: Tensor) -> Tensor:
        centred = motion - self.centre.value()
        return centred / centred.norm(dim=1, keepdim=True).clamp(min=1e-3)

    def _positives(self, x: Predicted) -> Tensor:
        """Which columns (N, 1 + Q) are positives: the own key, and what is similar to it."""
        rows = filled(self.features)
        similar = torch.zeros(len(x.feature), len(rows), dtype=torch.bool, device=rows.device)
        if self.labels is not None and x.label is not None:
            similar = x.label[:, None] == filled(self.labels).T
        elif count := min(x.neighbours, len(rows)):
            nearest = (unit_vectors(x.feature.detach()) @ rows.T).topk(count, dim=1).indices
            similar.scatter_(1, nearest, True)
        return torch.cat([torch.ones_like(x.feature[:, :1], dtype=torch.bool), similar], dim=1)

    def remember(self, carry: Mapping[str, Tensor]) -> None:
        """Enqueues the global batch's keys and features; both means move."""
        self.keys.enqueue(carry["key"])
        self.features.enqueue(carry["feature"])
        if self.labels is not None:
            self.labels.enqueue(carry["label"])
        self.motion.update(carry["moved"])
        self.centre.update(carry["motion"])
