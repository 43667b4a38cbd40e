"""Augmentations along time, batched.

Sources: LinguoLi/CrosSCLR, feeder/tools.py; fmthoker/skeleton-contrast, feeder/augmentations.py,
which HuiGuanLab/UmURL shares.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from skelray.platform.method.batch import Ragged
from skelray.platform.method.draws import Draws


def temporal_crop(x: Tensor, start: Tensor, padding: int) -> Tensor:
    """Pads each clip by mirrored frames at both ends and cuts it back to its length.

    The padded clip reads p-1, …, 0, 0, …, T-1, T-1, …, T-p with p = `padding`: the frame at the
    edge comes twice. `start == padding` keeps the clip as it is.

    Args:
        x: (N, C, T, V, M).
        start: (N,) int64 in 0..2p, first kept frame of the padded clip.
        padding: frames added at each end, at most T.
    """
    frames = x.shape[2]
    assert 0 <= padding <= frames, (padding, frames)
    index = start[:, None] + torch.arange(frames, device=x.device) - padding  # (N, T)
    index = torch.where(index < 0, -1 - index, index)
    index = torch.where(index < frames, index, 2 * frames - 1 - index)
    return torch.take_along_dim(x, index[:, None, :, None, None], dim=2)


def random_crop(
    draws: Draws,
    tag: str,
    length: Tensor,
    *,
    low: float,
    high: float = 1.0,
    shortest: int,
    crops: tuple[int, ...] = (),
) -> tuple[Tensor, Tensor]:
    """First frame and number of frames (N,) int64 of a random stretch of each recording.

    The stretch is a share of `length` (N,) drawn between `low` and `high`, but at least `shortest`
    frames, where there are as many; its place is uniform. With `crops=(K,)` K of each: (K, N).
    Draws `TAG/ratio` and `TAG/start` (N, *crops).
    """
    ratio, place = (draws.uniform(f"{tag}/{name}", *crops) for name in ("ratio", "start"))
    share = low + (high - low) * ratio.movedim(0, -1)
    count = (length * share).long().clamp(min=shortest).minimum(length)
    start = (place.movedim(0, -1) * (length - count + 1)).long()
    return start.minimum(length - count), count


def central_crop(length: Tensor, ratio: float) -> tuple[Tensor, Tensor]:
    """First frame and number of frames (N,) int64 left when (1 - ratio) / 2 goes at both ends."""
    start = ((1 - ratio) * length.double() / 2).long()
    return start, length - 2 * start


def crop_resize(clips: Ragged, start: Tensor, count: Tensor, frames: int) -> Tensor:
    """Frames `start` to `start + count` of each recording, resized along time: (N, C, T, V, M).

    `start` and `count` are (N,), or (K, N) for K stretches of each: (K, N, C, T, V, M). Linear,
    half-pixel centres, edges clamped, no anti-aliasing, as `interpolate` with align_corners=False.
    Reads only the frames it needs; recordings of no frames become zeros.
    """
    count = count[..., None]  # (…, N, 1)
    step = torch.arange(frames, device=count.device, dtype=torch.float64) + 0.5
    position = (step * count / frames - 0.5).clamp(min=0.0)  # (…, N, frames)
    end = (count - 1).clamp(min=0)
    before = position.long().minimum(end)
    first = (clips.offsets[:-1] + start)[..., None]
    pair = torch.stack([first + before, first + (before + 1).minimum(end)], dim=-1)
    last = len(clips.frames) - 1  # where recordings without frames end the batch
    pair = pair.clamp(max=last).int()
    after = position - before
    share = torch.stack([1 - after, after], dim=-1).mul_((count > 0)[..., None])
    # a row for each coordinate of a frame; the two neighbours are a bag: gathered, weighted and
    # summed in one pass, and the result has joints innermost, where they are quickest to move
    rows = clips.frames.permute(3, 0, 1, 2)  # (C, ΣT, M, V)
    coordinate = torch.arange(len(rows), dtype=pair.dtype, device=pair.device).view(-1, 1, 1)
    bags = pair[..., None, :, :] + coordinate * rows.shape[1]  # (…, N, C, frames, 2)
    shares = share[..., None, :, :].to(rows.dtype).expand_as(bags)
    resized = embedding_bag(
        bags.flatten(0, -2),
        rows.flatten(0, 1).flatten(1),
        per_sample_weights=shares.flatten(0, -2),
        mode="sum",
    )
    return resized.view(*bags.shape[:-1], *rows.shape[2:]).mT
