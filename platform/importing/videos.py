"""`VideoFolder`: a data set of videos alone, one file per recording, in a few lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np

from skelray.platform.dataset import (
    Dataset,
    Discovery,
    Protocol,
    RawItem,
    SkeletonSample,
    discover_files,
)
from skelray.platform.errors import DataError
from skelray.platform.importing.listing import CSV, hidden, listed
from skelray.platform.importing.table import NAME, read_details
from skelray.platform.skeleton.spec import SkeletonSpec
from skelray.platform.skeleton.specs import COCO
from skelray.platform.video.found import RGB, VIDEOS
from skelray.platform.video.required import require_video


class VideoFolder(Dataset):
    """Video files below a folder, and a table `recordings.csv` of labels; nobody has joints.

    A subclass names the data set and its classes, if it has any. A recording's id is its file's
    name without the ending and without a last `_rgb`, as `skelray boxes` names it. The table is
    that of `ArrayFolder`; without one all videos are recordings, unlabelled.
    """

    joints = False
    skeleton: ClassVar[SkeletonSpec] = COCO  # of no recording; networks may be built for one
    persons: ClassVar[int] = 1
    classes: ClassVar[tuple[str, ...]] = ()
    protocols: ClassVar[tuple[Protocol, ...]] = ()

    def discover(self, raw: Path) -> Discovery:
        """Lists the videos sorted by id, and the table's splits; see `listed`."""
        require_video()
        found = discover_files(raw, VIDEOS, hidden, ending=RGB)
        tables = discover_files(raw, CSV, _other_table)
        return listed(found.items, tables.items, {**found.skipped, **tables.skipped}, VIDEOS)

    def read(self, item: RawItem) -> Iterator[SkeletonSample]:
        """Yields a recording of as many empty frames as the video has; DataError names the fault.

        Its frame rate is the table's, else the video's own.
        """
        from skelray.platform.video.reading import probe  # loaded by those who read videos

        if item.member:
            raise DataError(f"{item.where}: videos are not read inside archives: unpack it")
        seen = probe(Path(item.path))
        fields = read_details(item.details, self.classes) if item.details else {}
        fields["fps"] = fields.get("fps") or float(seen.rate) or None
        yield SkeletonSample(
            id=item.id,
            frame_bodies=np.zeros(seen.frames, dtype=np.int32),
            xyz=np.zeros((0, self.skeleton.n_joints, self.skeleton.dimensions), dtype=np.float32),
            height=seen.height,
            width=seen.width,
            **{**fields, "clip": item.path},
        )


def _other_table(stem: str) -> str | None:
    return None if stem == NAME else f"not the table {NAME}{CSV}"
