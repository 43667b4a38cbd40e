"""From recordings of any length to what the networks read: repeated sequences, clips, targets.

Source: AnshulRustogi/Long-Term-Spatio-Temporal-Framework, feeder. Shapes: N samples, T frames, V
joints, M persons. A recording begins again where it has ended; each person does so by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from skelray.methods.lstcl.config import LSTCLConfig
from skelray.platform.augment.movement import random_move
from skelray.platform.method import Draws, Ragged


@dataclass
class Recordings:
    """A batch's recordings as one target's rule reads them; `move` draws their movement, if any.

    With `true_end` the last frames of the first person are the target, and what comes before them
    is all that is seen, unless a recording is too short for that.
    """

    clips: Ragged
    config: LSTCLConfig
    true_end: bool
    move: Draws | None = None
    cut: Tensor = field(init=False)  # (N,) frames that are seen; 0: all, and the target is padded
    lengths: Tensor = field(init=False)  # (N, M)

    def __post_init__(self) -> None:
        """Finds where each recording is cut."""
        clips, future = self.clips, self.config.future
        persons = clips.frames.shape[1]
        lengths = torch.stack([clips.scalars[f"length_{m}"] for m in range(persons)], dim=1)
        cut = torch.zeros_like(lengths[:, 0])
        if self.true_end:
            there = clips.present[:, 0].long().cumsum(0)
            before = torch.cat([there.new_zeros(1), there])
            number = before[clips.offsets[1:]] - before[clips.offsets[:-1]]
            cut = torch.where(number >= 3 * future, number - future, 0)
        self.cut, self.lengths = cut, lengths

    def sequence(self) -> Tensor:
        """The frames seen, repeated: (N, 3, T, V, M)."""
        time = torch.arange(self.config.frames, device=self.cut.device)
        return self._moved(time.expand(len(self.cut), -1))

    def clip(self, place: Tensor) -> Tensor:
        """The frames of `sequence` in the places (N, T) that `clip_places` gives."""
        return self._moved(place)

    def clip_places(self, start: Tensor | None = None) -> Tensor:
        """Places (N, T) in the sequence of the clip from which links are inferred.

        Evenly spread; `start` (N,) in [0, 1) shifts them by less than a step.
        """
        count = self.config.clip_frames
        span = torch.where(self.cut > 0, self.cut, self.clips.length - self.config.future)
        span = span.clamp(max=self.config.frames)[:, None]
        steps = torch.arange(count, device=span.device).expand(len(span), -1)
        shift = torch.zeros_like(span)
        if start is not None:
            choices = -(-span // count)
            shift = torch.minimum((start[:, None] * choices).long(), choices - 1)
        return torch.where(span > count, steps * span // count + shift, steps)

    def last(self) -> Tensor:
        """The frame before the target (N, 3, V, M), moved as the end of the sequence."""
        frames = self.config.frames
        place = torch.where(self.cut > 0, self.cut, frames)[:, None] - 1
        return self._moved(place, torch.full_like(place, frames - 1))[:, :, 0]

    def target(self) -> Tensor:
        """The frames to predict of the first person: (N, 3, T, V), moved as after the sequence."""
        steps = torch.arange(self.config.future, device=self.cut.device)
        time = self.config.frames + steps.expand(len(self.cut), -1)
        place = torch.where(self.cut[:, None] > 0, self.cut[:, None] + steps, time)
        return self._moved(place, time, period=self.lengths)[..., 0]

    def _moved(
        self, place: Tensor, time: Tensor | None = None, *, period: Tensor | None = None
    ) -> Tensor:
        """Frames (N, 3, T, V, M) in places (N, T) of the repeated recordings, moved by their time.

        They are repeated after `period` (N, M), by default what is seen of them.
        """
        if period is None:
            cut = self.cut[:, None]
            period = torch.where(cut > 0, torch.minimum(self.lengths, cut), self.lengths)
        clips = self.clips
        index = place[:, :, None] % period.clamp(min=1)[:, None]  # (N, T, M)
        index = index + clips.offsets[:-1, None, None]
        index = index.clamp(max=len(clips.frames) - 1)  # where a recording has no frames
        persons = torch.arange(index.shape[-1], device=index.device)
        x = clips.frames[index, persons].permute(0, 4, 1, 3, 2)
        x = x.masked_fill((period == 0)[:, None, None, None], 0.0)
        if self.move is None:
            return x
        return random_move(
            self.move,
            "move",
            x,
            place if time is None else time,
            frames=self.config.window,
            mask_empty=self.config.mask_empty,
        )
