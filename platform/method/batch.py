"""What a method receives: a batch of recordings as flat buffers plus offsets, on the device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Ragged:
    """N sequences of lengths T_i end to end: ΣT frames, M persons, V joints, C coordinates."""

    frames: Tensor  # (ΣT, M, V, C) float32
    offsets: Tensor  # (N + 1,) int64: sequence i is frames[offsets[i]:offsets[i + 1]]
    present: Tensor  # (ΣT, M) bool: the person was recorded in the frame
    length: Tensor  # (N,) int64: the length its preprocessing means (may differ from T_i)
    score: Tensor | None = None  # (ΣT, M, V) float32: confidence of 2D poses
    scalars: Mapping[str, Tensor] = field(default_factory=dict)  # name -> (N, …)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def dense(self) -> Tensor:
        """All sequences as (N, C, T, V, M); ValueError where their lengths differ."""
        sizes = self.offsets.diff()
        frames = int(sizes[0]) if len(self) else 0
        if not bool((sizes == frames).all()):
            raise ValueError(
                f"sequences of {int(sizes.min())} to {int(sizes.max())} frames do not stack: "
                "resize them in preprocessing or sample them in views"
            )
        _, persons, joints, coordinates = self.frames.shape
        stacked = self.frames.view(len(self), frames, persons, joints, coordinates)
        return stacked.permute(0, 4, 1, 3, 2)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """N recordings. Everything but `id` lies on the training device.

    `key` is the 64-bit identity of each sample from which `Draws` derive their values; `label` is
    None in phases that do not ask for labels and for unlabelled recordings.
    """

    index: Tensor  # (N,) int64: row of the data set's index table
    id: Sequence[str]
    key: Tensor  # (N,) int64
    skeletons: Mapping[str, Ragged] = field(default_factory=dict)
    label: Tensor | None = None  # (N,) int64
    subject: Tensor | None = None  # (N,) int64, -1 where unknown
    camera: Tensor | None = None
    setup: Tensor | None = None
    fps: Tensor | None = None  # (N,) float32
    clip: Tensor | None = None  # (N, T, S, S, 3) uint8 RGB; black where not ok
    clip_index: Tensor | None = None  # (N, T) int64: the frames decoded
    pose_index: Tensor | None = None  # (N, T) int64: the skeleton's frames that go with them
    clip_box: Tensor | None = (
        None  # (N, 4) float32: left, top, right, bottom in the source's pixels
    )
    clip_hw: Tensor | None = None  # (N, 2) int64: height, width of the source's pictures
    clip_ok: Tensor | None = None  # (N,) bool: False where the clip could not be decoded

    def __len__(self) -> int:
        return len(self.id)

    def to(self, device: torch.device) -> Self:
        """The same batch with every tensor on `device`."""
        moved: dict[str, Any] = {
            f.name: value.to(device, non_blocking=True)
            for f in fields(self)
            if isinstance(value := getattr(self, f.name), Tensor)
        }
        skeletons = {name: _ragged_to(ragged, device) for name, ragged in self.skeletons.items()}
        return replace(self, **moved, skeletons=skeletons)


def _ragged_to(ragged: Ragged, device: torch.device) -> Ragged:
    return replace(
        ragged,
        frames=ragged.frames.to(device, non_blocking=True),
        offsets=ragged.offsets.to(device, non_blocking=True),
        present=ragged.present.to(device, non_blocking=True),
        length=ragged.length.to(device, non_blocking=True),
        score=None if ragged.score is None else ragged.score.to(device, non_blocking=True),
        scalars={k: v.to(device, non_blocking=True) for k, v in ragged.scalars.items()},
    )
