"""The data sets `synthetic` and `synthetic_2d`: recordings that the project makes itself.

They are read like NTU's; the first is 3D text and, where asked for, video, the second its 2D poses.
"""

from __future__ import annotations

import pickle
from pathlib import Path

from skelray.datasets.ntu.dataset import RecordingName, SkeletonFolder
from skelray.datasets.pyskl.dataset import NTUAnnotations
from skelray.datasets.synthetic.actions import ACTIONS
from skelray.datasets.synthetic.annotations import annotation_file
from skelray.datasets.synthetic.camera import COLOR, COLOR_SIZE, SETUPS
from skelray.datasets.synthetic.curves import FPS
from skelray.datasets.synthetic.marker import claim, read_marker, write_whole
from skelray.datasets.synthetic.recordings import LIMITS, Recording, members, recording_text
from skelray.platform.dataset import Discovery, Protocol
from skelray.platform.errors import UsageError
from skelray.platform.skeleton.specs import COCO

MARKER, MARKER_RGB, MARKER_2D = "synthetic.json", "synthetic_rgb.json", "synthetic_2d.json"
ANNOTATIONS = "synthetic_2d.pkl"

_RENDERER = 1  # raised where the pictures change
_HEIGHTS = (64, 2160)
# MPEG-4 in AVI as NTU's clips are, at one quality whatever the size: 150 kB for 100 frames
_CODEC, _QUALITY = "mpeg4", {"qmin": "5", "qmax": "5"}

_TRAIN = frozenset(range(1, LIMITS[1] + 1, 2))  # every second subject: half of them in every size
_HOLDOUT = frozenset(range(3, LIMITS[1] + 1, 8))  # every fourth of these


class Synthetic(SkeletonFolder):
    """Sixteen actions of an articulated body, seen by three cameras; see README.md."""

    name = "synthetic"
    classes = tuple(action.name for action in ACTIONS)
    version = 2
    fps = float(FPS)
    setups = max(SETUPS)
    licence = "Made by this project: prepare it without a raw folder"
    protocols = (
        Protocol("xsub", "subject", _TRAIN, _HOLDOUT),
        Protocol("xview", "camera", frozenset((2, 3)), _HOLDOUT),
    )

    def generate(self, raw: Path, *, size: str, seed: int) -> None:
        """Writes the `.skeleton` files of a set that are not there yet, and which set it is.

        The same size and seed give the same bytes. A set interrupted at any point is completed by
        the next call; a complete one is left as it is.

        Args:
            raw: the set's own folder, made where it does not exist.
            size: `tiny`, `small`, `full`, or a number of subjects such as `20-subjects`.
            seed: not negative.

        Raises:
            UsageError: unknown size, negative seed, or `raw` holds something else.
        """
        for recording in self._claimed(raw, size, seed):
            path = raw / f"{recording.name}.skeleton"
            if not path.exists():
                write_whole(path, recording_text(recording, seed).encode("ascii"))

    def render(self, raw: Path, recording: str, *, size: str, seed: int, height: int = 270) -> Path:
        """Draws one recording as `<recording>_rgb.avi` beside its `.skeleton`, 30 frames a second.

        The bodies are drawn where they truly are, without the tracker's errors. A video that is
        there is kept. Several processes may render different recordings of a set at once.

        Args:
            raw: the set's folder.
            recording: its id.
            size: of the set.
            seed: of the set.
            height: of the picture in pixels, even; it is 16/9 as wide.

        Raises:
            UsageError: no such recording, another set's folder or videos of another height, a
                height that is odd or out of range, or a library is missing.
        """
        name = RecordingName.parse(recording)
        chosen = Recording(**name._asdict()) if name else None
        if chosen not in self._claimed(raw, size, seed):
            raise UsageError(f"{self.name} of size {size!r} has no recording {recording!r}")
        if height % 2 or not _HEIGHTS[0] <= height <= _HEIGHTS[1]:
            raise UsageError(
                f"height {height} of a video: choose an even one from {_HEIGHTS[0]} "
                f"to {_HEIGHTS[1]}"
            )
        claim(raw, MARKER_RGB, {"height": height, "renderer": _RENDERER}, "*_rgb.avi")
        path = raw / f"{recording}_rgb.avi"
        if not path.exists():
            _draw(chosen, seed, height, path)
        return path

    def _claimed(self, raw: Path, size: str, seed: int) -> tuple[Recording, ...]:
        """The recordings of the set whose folder `raw` is or becomes."""
        recordings = members(size)
        _check_seed(self.name, seed)
        wanted = {"size": size, "seed": seed, "generator": self.version}
        claim(raw, MARKER, {**wanted, "recordings": len(recordings)}, "*.skeleton")
        return recordings

    def discover(self, raw: Path) -> Discovery:
        """Lists the recordings; UsageError where the set is not complete."""
        found = super().discover(raw)
        marker = raw / MARKER
        if marker.exists() and len(found.items) != (
            expected := read_marker(marker, "recordings")["recordings"]
        ):
            raise UsageError(
                f"{raw} holds {len(found.items)} of {expected} recordings: generate the set again"
            )
        return found


class Synthetic2D(NTUAnnotations):
    """The recordings of `synthetic` as a pose estimator finds them in the colour videos."""

    name = "synthetic_2d"
    skeleton = COCO
    classes = Synthetic.classes
    protocols = Synthetic.protocols
    fps = Synthetic.fps
    file_names = (ANNOTATIONS,)
    licence = Synthetic.licence

    def generate(self, raw: Path, *, size: str, seed: int) -> None:
        """Writes the annotation pickle of a set, whole or not at all, and which set it is of.

        The same size and seed give the same bytes; a file that is there is left as it is.

        Args:
            raw: the file's own folder, made where it does not exist.
            size: as of `Synthetic.generate`.
            seed: not negative.

        Raises:
            UsageError: unknown size, negative seed, or `raw` holds something else.
        """
        recordings = members(size)
        _check_seed(self.name, seed)
        wanted = {"size": size, "seed": seed, "generator": Synthetic.version}
        claim(raw, MARKER_2D, {**wanted, "detector": self.version}, ANNOTATIONS)
        if not (raw / ANNOTATIONS).exists():
            content = annotation_file(recordings, seed, self.protocols)
            write_whole(raw / ANNOTATIONS, pickle.dumps(content, protocol=4))


def _check_seed(dataset: str, seed: int) -> None:
    if seed < 0:
        raise UsageError(f"seed {seed} of {dataset} is negative: choose 0 or more")


def _draw(recording: Recording, seed: int, height: int, path: Path) -> None:
    """Writes the video; UsageError where a library for it is missing."""
    try:  # who wants skeletons alone needs neither
        from skelray.datasets.synthetic.rendering import frames_of
        from skelray.platform.video.writing import write_video
    except ModuleNotFoundError as error:
        if error.name not in ("av", "cv2"):
            raise
        raise UsageError(
            f"videos need the library {error.name}: pip install 'skelray[video]'"
        ) from None
    width = 2 * round(height * COLOR_SIZE[0] / COLOR_SIZE[1] / 2)
    lens = COLOR.resized(width / COLOR_SIZE[0], height / COLOR_SIZE[1])
    frames = frames_of(recording, seed, lens=lens, width=width, height=height)
    write_video(path, frames, rate=FPS, codec=_CODEC, options=_QUALITY)
