"""What is made of a file of boxes so far: a line per video beside it, which a kill leaves whole."""

from __future__ import annotations

import base64
import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from skelray.platform.data.boxes import VideoBoxes
from skelray.platform.errors import UsageError


class PartialBoxes:
    """The boxes of the videos that are done; `add` puts one more on the disk."""

    def __init__(self, path: Path, file: BinaryIO, about: Mapping[str, str]) -> None:
        self.path = path
        self.boxes: dict[str, VideoBoxes] = {}
        self._file, self._about = file, dict(about)

    def read(self) -> None:
        """Takes what is there; a line that a kill left unfinished, and any after it, is cut off."""
        end = 0
        self._file.seek(0)
        for number, line in enumerate(self._file):
            try:
                value: Any = json.loads(line) if line.endswith(b"\n") else None
                if number == 0:
                    refuse_mixture(self.path, dict(value), self._about)
                else:
                    self.boxes[value["id"]] = _from_line(value)
            except (ValueError, TypeError, KeyError):
                break
            end += len(line)
        self._file.truncate(end)

    def add(self, id: str, boxes: VideoBoxes) -> None:
        """Writes a line."""
        if not self.boxes:
            self._file.truncate(0)
            self._write(self._about)
        self._write(_to_line(id, boxes))
        self.boxes[id] = boxes

    def remove(self) -> None:
        """To be called when the file itself is written."""
        self.path.unlink(missing_ok=True)

    def _write(self, value: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(value).encode() + b"\n")
        self._file.flush()


@contextmanager
def partial_boxes(out: Path, about: Mapping[str, str]) -> Iterator[PartialBoxes]:
    """What is made of `out` so far, in `out`.partial, for this process alone.

    UsageError where another process makes the same file, or where what is there was made in another
    way.
    """
    path = out.with_name(f"{out.name}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # ends with the process
        except BlockingIOError:
            raise UsageError(f"another process is making {out}: wait for it, or stop it") from None
        partial = PartialBoxes(path, file, about)
        partial.read()
        try:
            yield partial
        finally:
            if not partial.boxes:
                partial.remove()


def refuse_mixture(path: Path, made: Mapping[str, str], about: Mapping[str, str]) -> None:
    """UsageError where the boxes of a file were made in another way than `about`."""
    if made != about:
        theirs, ours = (
            ", ".join(f"{key} {value}" for key, value in each.items()) or "nothing known"
            for each in (made, about)
        )
        raise UsageError(
            f"{path} was made with {theirs}, not with {ours}: give another --out, or delete it"
        )


def _to_line(id: str, video: VideoBoxes) -> dict[str, Any]:
    data = base64.b64encode(np.ascontiguousarray(video.boxes, np.dtype("<f4")).tobytes()).decode()
    return {"id": id, "height": video.height, "width": video.width, "boxes": data}


def _from_line(value: Mapping[str, Any]) -> VideoBoxes:
    data = base64.b64decode(value["boxes"], validate=True)
    boxes = np.frombuffer(data, np.dtype("<f4")).reshape(-1, 5)
    return VideoBoxes(boxes, int(value["height"]), int(value["width"]))
