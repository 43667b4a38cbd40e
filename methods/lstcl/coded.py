"""The contrastive losses as the published code has them, for comparison with it.

A similarity is a mean square *difference* over the whole batch, so that minimising the loss moves
positives apart; there is no temperature; rows enter the queues late, keys of frames those of
segments. Source: AnshulRustogi/Long-Term-Spatio-Temporal-Framework, net/utils/adj_learn.py and
net/as_gcn.py. Shapes: B bodies or samples of the global batch, S rows of a queue, D their width.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from skelray.methods.lstcl.config import LSTCLConfig
from skelray.methods.lstcl.links import LinkEncoder
from skelray.methods.lstcl.seen import FromVideo, Outcome, Predicted
from skelray.methods.lstcl.video import VideoPart, reordered, shown, stretched_links
from skelray.platform.distributed import all_gather_rows, gather_with_gradient

_FLOOR = 1e-12  # added to the probability


def distance(a: Tensor, b: Tensor) -> Tensor:
    """The mean square difference of all elements."""
    return (a - b).square().mean()


def distance_nce(query: Tensor, key: Tensor, negatives: Tensor) -> Tensor:
    """-log(e^d / (e^d + Σ e^d_c)): distances of query and key (B, D), and to `negatives` (n, B, D).

    Taken through logarithms, as the exponentials overflow from distances of 88 on.
    """
    own = distance(query, key)[None]
    each = (negatives - query).square().mean(dim=(1, 2))
    return -torch.log(_FLOOR + torch.exp(own - torch.cat([own, each]).logsumexp(0))).squeeze()


class CodedQueue(nn.Module):
    """A ring of `size` rows, written from one batch past the last on; random at first.

    The first rows are normal numbers, each column scaled to length 1.
    """

    rows: Tensor
    pointer: Tensor

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.register_buffer("rows", functional.normalize(torch.randn(size, width), dim=0))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))

    def chunks(self, count: int) -> Tensor:
        """The rows in pieces of `count`, as many as fit but for the last: (n, count, D)."""
        number = max(0, len(self.rows) // count - 1)
        return self.rows[: number * count].unflatten(0, (number, count))

    @torch.no_grad()
    def advance(self, count: int) -> None:
        """Moves the pointer."""
        self.pointer.copy_((self.pointer + count) % len(self.rows))

    @torch.no_grad()
    def write(self, rows: Tensor, pointer: Tensor) -> None:
        """Writes rows (n, D) from `pointer` on, around the end if need be."""
        kept = rows[-len(self.rows) :]  # of more rows than the queue holds, the last ones survive
        first = pointer + (len(rows) - len(kept))
        places = (first + torch.arange(len(kept), device=rows.device)) % len(self.rows)
        self.rows.index_copy_(0, places, kept.to(self.rows.dtype))


class CodedVideoContrast(nn.Module):
    """The four losses of the video part."""

    def __init__(self, config: LSTCLConfig, width: int) -> None:
        super().__init__()
        self.inter, self.segments = (CodedQueue(config.video_queue, width) for _ in range(2))
        self.segments.rows.copy_(self.inter.rows)

    def forward(self, part: VideoPart, links: LinkEncoder, x: FromVideo) -> Outcome:
        """Losses `inter`, `intra`, `video`, `order`; keys for `remember`."""
        see = shown(x.clips)
        inter, intra, segments = part["inter"], part["intra"], part["segments"]

        first = (x.augmented["inter"], see.middle, see.end)
        frame_keys = [inter.key(frame, links).flatten(1) for frame in first]
        keys = [gather_with_gradient(key) for key in frame_keys]
        query = gather_with_gradient(inter.query(see.first, links).flatten(1))
        far = self.inter.chunks(len(query))
        losses = {"inter": torch.stack([distance_nce(query, key, far) for key in keys]).mean()}
        query, own, other = (
            gather_with_gradient(branch(frame, links).flatten(1))
            for branch, frame in (
                (intra.query, see.first),
                (intra.key, x.augmented["intra"]),
                # of two negatives the code keeps whichever comes last in a set: here the end
                (intra.key, see.end),
            )
        )
        losses["intra"] = distance_nce(query, own, other[None])
        begins = gather_with_gradient(segments.query(see.begins, links).flatten(1))
        # the keys' own expander is never used
        stretched = stretched_links(see.ends, segments.query.expander, links)
        segment_keys = segments.key.project(stretched).flatten(1)
        far = self.segments.chunks(len(begins))
        losses["video"] = distance_nce(begins, gather_with_gradient(segment_keys), far)
        order = part.order(
            reordered(see.begins, x.orders[:, 0]), reordered(see.ends, x.orders[:, 1]), links
        )
        losses["order"] = functional.cross_entropy(order, x.order_label)
        carry = {"inter": torch.stack(frame_keys, dim=1), "segments": segment_keys}
        return Outcome(terms=losses, carry={name: rows.detach() for name, rows in carry.items()})

    def remember(self, carry: Mapping[str, Tensor]) -> None:
        """Writes segments' keys, then frames' keys, all into the segments' queue."""
        segments, frames = carry["segments"], carry["inter"].transpose(0, 1).flatten(0, 1)
        self.segments.advance(len(segments))
        self.inter.advance(len(frames))
        self.segments.write(segments, self.segments.pointer)
        self.segments.write(frames, self.inter.pointer)


class CodedPredictionContrast(nn.Module):
    """The mean square error of predictions, and their distance from keys."""

    def __init__(self, config: LSTCLConfig, width: int) -> None:
        super().__init__()
        self.keys = CodedQueue(config.queue, width)

    def forward(self, x: Predicted) -> Outcome:
        """Losses `prediction`, `contrast`; keys for `remember`."""
        query, key = gather_with_gradient(x.pred.flatten(1)), all_gather_rows(x.key.flatten(1))
        contrast = distance_nce(query, key, self.keys.chunks(len(query)))
        return Outcome(
            terms={"prediction": distance(x.pred, x.target), "contrast": contrast},
            carry={"key": x.key.flatten(1).detach()},
        )

    def remember(self, carry: Mapping[str, Tensor]) -> None:
        """Writes the keys of the global batch."""
        self.keys.advance(len(carry["key"]))
        self.keys.write(carry["key"], self.keys.pointer)
