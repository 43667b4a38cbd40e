"""The data set contract: what a folder under `datasets/` provides, and the sample it yields.

A data set turns the files its owners publish into `SkeletonSample`s and says which of them train
and which test. It never writes stores (`skelray.platform.data` does) and it changes no number:
choosing bodies, denoising, centring and padding belong to preprocessing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from skelray.platform.errors import UsageError
from skelray.platform.pickles import PickledArray, load_pickle
from skelray.platform.raw import Discovery, RawItem, Splits, discover_files
from skelray.platform.skeleton.spec import SkeletonSpec

__all__ = [
    "Dataset",
    "Discovery",
    "PickledArray",
    "Protocol",
    "RawItem",
    "SkeletonSample",
    "Splits",
    "discover_files",
    "load_pickle",
]


Metric = Literal["top1", "mean_class"]


@dataclass(frozen=True, kw_only=True)
class SkeletonSample:
    """One recording as its files hold it; T frames, B bodies summed over the frames, V joints.

    Bodies are stored frame after frame, inside a frame in the order of the frame's list, so that
    the position in that list is never lost. A frame without a body has `frame_bodies[t] == 0`.
    """

    id: str
    frame_bodies: np.ndarray  # (T,) int32: bodies in each frame
    xyz: np.ndarray  # (B, V, C) float32 in the skeleton's unit
    body_id: np.ndarray | None = None  # (B,) int64: the tracker's identifier
    body_header: np.ndarray | None = None  # (B, H) float32: the data set's `header` fields
    joint_state: np.ndarray | None = None  # (B, V) int8: 0 lost, 1 inferred, 2 tracked
    color_xy: np.ndarray | None = None  # (B, V, 2) float32: pixels of the colour image
    score: np.ndarray | None = None  # (B, V) float32: a pose estimator's confidence
    label: int | None = None  # 0-based
    subject: int | None = None
    camera: int | None = None
    setup: int | None = None
    replication: int | None = None
    fps: float | None = None
    height: int | None = None  # of the picture, in pixels: 2D poses lie in 0..width, 0..height
    width: int | None = None
    clip: str | None = None  # path of the RGB clip

    @property
    def frames(self) -> int:
        """Number of frames T, empty ones included."""
        return len(self.frame_bodies)


@dataclass(frozen=True)
class Protocol:
    """A split: a recording trains when its `field` is one of `train`; all others test.

    `holdout` names training subjects set apart for model selection (part `holdout`, inside
    `train`). Where `test` is given, recordings in neither take no part. Where `classes` is given,
    some of the data set's in the order of their numbers under this protocol, recordings of other
    classes take no part.
    """

    name: str
    field: str  # subject | camera | setup | id
    train: frozenset[int] | frozenset[str]
    holdout: frozenset[int] | frozenset[str]
    test: frozenset[int] | frozenset[str] | None = None
    holdout_field: str = "subject"
    classes: tuple[str, ...] | None = None


# What the field's papers call the protocols, beside the names that skelray uses.
ALIASES = {
    **dict.fromkeys(("cs", "csub", "cross_subject"), "xsub"),
    **dict.fromkeys(("cv", "cview", "cross_view"), "xview"),
    **dict.fromkeys(("cset", "xsetup", "cross_setup"), "xset"),
}


class Dataset(ABC):
    """A data set plugin; `skelray.platform.registry` finds it by `name`."""

    name: ClassVar[str]
    skeleton: ClassVar[SkeletonSpec]
    joints: ClassVar[bool] = True  # False: videos alone, no frame of which holds a body
    persons: ClassVar[int]
    classes: ClassVar[tuple[str, ...]]
    protocols: ClassVar[tuple[Protocol, ...]]
    version: ClassVar[int] = 1  # of reader and generator: raised where they give other recordings
    header: ClassVar[tuple[str, ...]] = ()  # names of the columns of `body_header`
    fps: ClassVar[float | None] = None
    # height and width of the picture in whose pixels poses lie, where its samples do not say
    picture: ClassVar[tuple[int, int] | None] = None
    # what its papers report: the share of recordings recognised, or its mean over the classes
    metric: ClassVar[Metric] = "top1"
    licence: ClassVar[str] = ""  # one line: where to get it and under which terms

    @classmethod
    def protocol(cls, name: str, further: tuple[str, ...] = ()) -> Protocol:
        """The protocol of that name or alias; UsageError names the known ones and `further`."""
        by_name = {protocol.name.lower(): protocol for protocol in cls.protocols}
        for wanted in (name.lower(), ALIASES.get(name.lower(), "")):
            if wanted in by_name:
                return by_name[wanted]
        known = ", ".join(
            [*(p.name for p in cls.protocols), *further, "losoN (leave subject N out)"]
        )
        raise UsageError(f"data set {cls.name} has no protocol {name!r}: choose one of {known}")

    @classmethod
    def classes_under(cls, protocol: Protocol) -> tuple[str, ...]:
        """The classes in the order of their numbers under one of the protocols."""
        return cls.classes if protocol.classes is None else protocol.classes

    @abstractmethod
    def discover(self, raw: Path) -> Discovery:
        """Lists the recordings below `raw`, a folder or an archive, in a fixed order."""

    @abstractmethod
    def read(self, item: RawItem) -> Iterator[SkeletonSample]:
        """Reads one item; DataError names file and line of the first thing that is wrong."""

    def generate(self, raw: Path, *, size: str, seed: int) -> None:
        """Writes the raw recordings, for data sets that are made rather than downloaded."""
        raise UsageError(f"data set {self.name} is not generated: {self.licence}")

    def render(self, raw: Path, recording: str, *, size: str, seed: int, height: int = 270) -> Path:
        """Writes the video of one generated recording into its set's folder; where it then lies.

        Args:
            raw: the folder that `generate` filled with the same `size` and `seed`.
            recording: its id.
            size: of the set.
            seed: of the set.
            height: of the picture in pixels.
        """
        raise UsageError(f"data set {self.name} draws no videos: {self.licence}")

    @property
    def renders(self) -> bool:
        """True where `render` makes videos."""
        return type(self).render is not Dataset.render

    @property
    def generated(self) -> bool:
        """True where `generate` makes the recordings."""
        return type(self).generate is not Dataset.generate
