"""Person boxes of all videos below a folder; what is made already is not made again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from skelray.platform.clips.tracklets import BoxRules, person_boxes
from skelray.platform.data.boxes import VideoBoxes, read_boxes, write_boxes
from skelray.platform.data.partial_boxes import PartialBoxes, partial_boxes, refuse_mixture
from skelray.platform.progress import progress_bar
from skelray.platform.video.detection import PersonDetector, detections
from skelray.platform.video.reading import UnreadableVideo


@dataclass(frozen=True)
class Made:
    """What `make_boxes` did."""

    new: int  # videos
    before: int  # videos whose boxes were there
    damaged: Mapping[Path, str]  # why, by video


def make_boxes(
    videos: Mapping[str, Path],
    load: Callable[[], PersonDetector],
    out: Path,
    *,
    rules: BoxRules,
    about: Mapping[str, str],
) -> Made:
    """Adds to the file `out` the boxes of those videos that it lacks.

    After an interruption the next call goes on where this one stopped.

    Args:
        videos: by sample id.
        load: makes the detector; called once, and not where nothing is missing.
        out: a Parquet file, see `read_boxes`.
        rules: see `person_boxes`.
        about: detector and rules, kept in the file.

    Raises:
        DataError: `out` is damaged, or the detector returns what it should not.
        UsageError: `out` was made in another way, or is being made by another process.
    """
    with partial_boxes(out, about) as partial:
        known: dict[str, VideoBoxes] = {}
        if out.exists():
            file = read_boxes(out)
            refuse_mixture(out, file.about, about)
            known |= file
        done = known.keys() | partial.boxes.keys()
        missing = {id: path for id, path in videos.items() if id not in done}
        damaged = _detect(missing, load(), partial, rules) if missing else {}
        if partial.boxes:
            write_boxes(out, known | partial.boxes, about=about)
            partial.remove()
    return Made(len(missing) - len(damaged), len(videos) - len(missing), damaged)


def _detect(
    videos: Mapping[str, Path], detector: PersonDetector, partial: PartialBoxes, rules: BoxRules
) -> dict[Path, str]:
    """Adds the boxes of these videos; returns those that cannot be read, and why."""
    damaged = {}
    with progress_bar("person boxes", len(videos), "videos") as bar:
        for id, path in videos.items():
            try:
                found = detections(path, detector)
            except UnreadableVideo as error:
                damaged[path] = str(error)
            else:
                boxes = person_boxes(found.frames, picture=found.picture, rules=rules)
                partial.add(id, VideoBoxes(boxes, *found.picture))
            bar.update()
    return damaged
