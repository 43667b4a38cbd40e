"""Which frames and which box of each recording a batch needs, and their decoding in threads."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from skelray.platform.clips.boxes import joints_box, square_box
from skelray.platform.clips.joints import chosen_joints, to_box
from skelray.platform.clips.sampling import central_frames, random_frames, seeded_frames
from skelray.platform.data.clips import ClipStore
from skelray.platform.errors import DataError
from skelray.platform.method.batch import Batch, Ragged
from skelray.platform.method.contract import ClipSpec
from skelray.platform.method.draws import Draws

_LOG = logging.getLogger(__name__)


class Outcome(NamedTuple):
    """How the decoding of one clip ended."""

    problem: str = ""  # of its file, "" where there is none
    read: bool = True  # False: the clip is black


VideoReader = Literal["decord", "pyav"]


@dataclass(frozen=True)
class Plan:
    """What to decode of N recordings; decided before a file is opened."""

    row: Tensor  # (N,) int64 of the clip store
    frame: Tensor  # (N, T) int64
    pose: Tensor  # (N, T) int64
    box: Tensor  # (N, 4) int64 in pixels of the clip's pictures

    def __len__(self) -> int:
        return len(self.row)


class ClipReader:
    """The clips of a data set as one phase or output reads them."""

    def __init__(
        self,
        store: ClipStore,
        spec: ClipSpec,
        ids: np.ndarray,
        video_reader: VideoReader = "decord",
    ) -> None:
        """`ids` (n,) are the recordings in the order of the index."""
        self.store = store
        self.spec = spec
        self.video_reader = video_reader
        self.rows = torch.from_numpy(store.rows(ids))
        numbers = {
            name: torch.tensor(values)  # a copy: Arrow's memory is read-only
            for name, values in store.columns.items()
            if values.dtype.kind in "if"
        }
        self.frames = numbers["frames"]
        self.size = torch.stack([numbers["height"], numbers["width"]], dim=1)
        self.source = torch.stack([numbers["source_height"], numbers["source_width"]], dim=1)
        self.shown, self.person = numbers["shown"], numbers["person"]
        self._said: set[str] = set()

    def plan(self, rows: Tensor, poses: Ragged | None, draws: Draws | None) -> Plan:
        """Frames and boxes of these recordings (N,) of the index.

        `poses` are theirs, of the field that the spec names; `draws` is asked for random frames.
        """
        row = self.rows[rows]
        if (row < 0).any():
            raise DataError(f"{int((row < 0).sum())} recordings of a batch have no clip")
        count = self.frames[row]
        if poses is not None:  # frames that both have
            count = torch.minimum(count, poses.offsets.diff())
        frame, pose = (self._sample(count, draws, name) for name in ("clip/picture", "clip/pose"))
        return Plan(row, frame, pose, self._box(row, pose, poses))

    def _sample(self, count: Tensor, draws: Draws | None, tag: str) -> Tensor:
        if self.spec.sampling == "central":
            return central_frames(count, self.spec.frames)
        if self.spec.sampling == "seeded":
            return seeded_frames(count, self.spec.frames)
        assert draws is not None, "an evaluation reads no random frames: name another sampling"
        return random_frames(count, self.spec.frames, draws, tag)

    def _box(self, row: Tensor, pose: Tensor, poses: Ragged | None) -> Tensor:
        """(N, 4) in pixels of the clip's pictures, which show a part of the source's."""
        size = self.size[row]
        if self.spec.box == "whole":
            return torch.cat([torch.zeros_like(size), size.flip(1)], dim=1)
        shown = self.shown[row]
        if self.spec.box == "recording":
            scale = size.flip(1) / (shown[:, 2:] - shown[:, :2])
            moved = (self.person[row].view(-1, 2, 2) - shown[:, None, :2]) * scale[:, None]
            return moved.flatten(1).round().long()
        assert poses is not None, "box=joints needs the field of the joints"
        joints = chosen_joints(poses, pose, self.source[row])
        places = to_box(joints, shown, size.flip(1))
        # a pose estimator's mistake must not ask for a box of a thousand pictures
        side = size.flip(1)[:, None, None, None]
        return square_box(joints_box(torch.clamp(places, -side, 2 * side)), size)

    def decode(self, plan: Plan, clip: Tensor, pool: ThreadPoolExecutor) -> list[Future[Outcome]]:
        """Begins to fill `clip` (N, T, S, S, 3) uint8, which is black; one task per recording."""
        columns = zip(
            plan.row.tolist(), plan.frame.numpy(), plan.box.tolist(), clip.numpy(), strict=True
        )
        return [pool.submit(self._decode, *one) for one in columns]

    def _decode(self, row: int, frames: np.ndarray, box: list[int], into: np.ndarray) -> Outcome:
        # decord and OpenCV are loaded by those who decode
        from skelray.platform.video.cropping import cut, resized
        from skelray.platform.video.reading import read_frames

        left, top, right, bottom = box
        try:
            pictures, replaced = read_frames(self.store.file(row), frames, self.video_reader)
        except (DataError, OSError) as error:
            return Outcome(str(error), read=False)
        for one, picture in zip(into, pictures, strict=True):  # boxes may be large
            whole = cut(picture[None], (left, top, right, bottom))
            resized(whole, self.spec.size, into=one[None])
        if replaced:
            name = self.store.file(row)
            return Outcome(f"{name}: {replaced} of {len(frames)} frames are replaced")
        return Outcome()

    def fill(self, batch: Batch, plan: Plan, clip: Tensor, outcomes: Sequence[Outcome]) -> Batch:
        """The batch with its clips, on the batch's device; DataError where none can be read.

        What is wrong is said here, in the training process, wherever the clips were decoded.
        """
        for problem, read in outcomes:
            if problem:
                self._say(problem if read else f"{problem}; the clip counts as black")
        if not any(outcome.read for outcome in outcomes):
            raise DataError(
                f"no clip of a batch of {len(outcomes)} can be read: {outcomes[0].problem}"
            )
        shown, size = self.shown[plan.row], self.size[plan.row].flip(1)
        scale = ((shown[:, 2:] - shown[:, :2]) / size).repeat(1, 2)
        filled = replace(
            batch,
            clip=clip,
            clip_index=plan.frame,
            pose_index=plan.pose,
            clip_box=(plan.box * scale + shown[:, :2].repeat(1, 2)).float(),
            clip_hw=self.source[plan.row],
            clip_ok=torch.tensor([outcome.read for outcome in outcomes]),
        )
        return filled.to(batch.index.device)

    def black(self, count: int) -> Tensor:
        """(count, T, S, S, 3) uint8, on the host."""
        return torch.zeros(count, self.spec.frames, *2 * (self.spec.size,), 3, dtype=torch.uint8)

    def _say(self, problem: str) -> None:
        """Once for every recording."""
        if problem not in self._said:
            self._said.add(problem)
            _LOG.warning("%s", problem)
