"""The error of a method's predicted poses, against that of the last pose repeated; no Ray.

Shapes: n recordings, C coordinates, T frames predicted, V joints, M persons.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from skelray.platform.data.source import Source
from skelray.platform.evaluation import pictures
from skelray.platform.evaluation.features import over_part
from skelray.platform.evaluation.probes import Measurement, Place, Split, Value
from skelray.platform.method import Method, Views
from skelray.platform.skeleton.spec import SkeletonSpec

OUTPUT = "prediction"
FRAMES = (1, 5, 10)  # whose errors have figures of their own, where so many are predicted
DRAWN = 4  # recordings in the picture
_MILLIMETRES = 1000.0


def predicts(method: Method) -> bool:
    """Whether it predicts poses, in metres."""
    return type(method).predict is not Method.predict and method.data.skeleton.unit == "metre"


@dataclass(frozen=True)
class Poses:
    """What was to be predicted, in metres; recordings of nobody are left out."""

    predicted: Tensor  # (n, C, T, V, M)
    target: Tensor  # (n, C, T, V, M)
    last: Tensor  # (n, C, V, M)

    def errors(self) -> dict[str, Tensor]:
        """Mean distances (T, V) from the target, of the prediction and of the last pose, in mm."""
        still = self.last[:, :, None].expand_as(self.target)
        return {
            name: _MILLIMETRES * (poses - self.target).norm(dim=1).mean(dim=(0, 3))
            for name, poses in (("", self.predicted), ("last_pose/", still))
        }


def predict(source: Source, method: Method) -> Poses:
    """The test part's predictions."""

    def ask(method: Method, views: Views) -> tuple[Tensor, Tensor, Tensor]:
        target, last = views[f"{OUTPUT}/target"], views[f"{OUTPUT}/last"]
        there = (target != 0).flatten(1).any(1)
        return method.predict(views)[there], target[there], last[there]

    found = over_part(source, method, OUTPUT, "test", ask)
    return Poses(*(torch.cat(each) for each in zip(*found, strict=True)))


@dataclass(frozen=True, kw_only=True)
class PredictionError(Measurement):
    """`prediction`: mean distance of joints in all frames and in some, and an animated picture.

    Beside each figure stands that of the last pose repeated.
    """

    method: Method
    source: Source
    figures: frozenset[str] = frozenset({"prediction/mpjpe_mm", "prediction/last_pose/mpjpe_mm"})

    def __call__(self, split: Split, place: Place) -> Iterator[tuple[str, Value]]:
        """Predicts the test part, whatever features `split` has."""
        poses = predict(self.source, self.method)
        for name, error in poses.errors().items():
            yield f"prediction/{name}mpjpe_mm", float(error.mean())
            for frame in FRAMES:
                if frame <= len(error):
                    yield f"prediction/{name}mpjpe_mm_frame{frame}", float(error[frame - 1].mean())
            for joint, value in zip(self.method.data.skeleton.joints, error.mean(0), strict=True):
                yield f"prediction/{name}mpjpe_mm_{joint.replace(' ', '_')}", float(value)
        for name in self.pictures:
            title = f"{split.title}\npredicted (blue) and recorded (grey)"
            yield name, animate(place(f"{name}.gif"), poses, self.method.data.skeleton, title)


def animate(path: Path, poses: Poses, skeleton: SkeletonSpec, title: str) -> Path:
    """Some recordings side by side, frame by frame from the last pose on, as a GIF."""
    rows = np.linspace(0, len(poses.target) - 1, min(DRAWN, len(poses.target))).astype(int)
    predicted, recorded = (
        torch.cat([poses.last[rows, :, None], each[rows]], dim=2)[..., 0].numpy()
        for each in (poses.predicted, poses.target)
    )
    axes = _seen_from_the_front(recorded, skeleton)
    with TemporaryDirectory() as folder:
        frames = []
        for t in range(recorded.shape[2]):
            moment = [each[:, list(axes), t] for each in (recorded, predicted)]
            frames.append(Path(folder) / f"{t}.png")
            _draw(frames[-1], moment, recorded[:, list(axes)], skeleton, f"{title}, frame {t}")
        return pictures.animation(path, frames, seconds=0.2)


def _seen_from_the_front(poses: np.ndarray, skeleton: SkeletonSpec) -> tuple[int, int]:
    """The coordinates (right, up): that of the shoulders' line and that of the spine."""
    left, right = skeleton.shoulders
    across = np.abs(poses[:, :, 0, right] - poses[:, :, 0, left]).mean(0)
    upper, lower = skeleton.spine[::-1] if skeleton.spine else (right, 0)
    along = np.abs(poses[:, :, 0, upper] - poses[:, :, 0, lower]).mean(0)
    up = int(along.argmax())
    across[up] = -1.0
    return int(across.argmax()), up


def _draw(
    path: Path, poses: Sequence[np.ndarray], reach: np.ndarray, skeleton: SkeletonSpec, title: str
) -> None:
    """One frame: recorded and predicted poses (n, 2, V) within what `reach` (n, 2, T, V) spans."""
    count = len(reach)
    figure = Figure(figsize=(3 * count, 3.6), layout="constrained")
    figure.suptitle(title, fontsize=10)
    for number, axes in enumerate(np.atleast_1d(figure.subplots(1, count))):
        assert isinstance(axes, Axes)
        for pose, colour in zip(poses, ("0.6", "tab:blue"), strict=True):
            for edge in skeleton.edges:
                axes.plot(*pose[number][:, list(edge)], color=colour, linewidth=1.5)
        (left, low), (right, high) = reach[number].min((1, 2)), reach[number].max((1, 2))
        margin = 0.1 * max(right - left, high - low) + 1e-6
        axes.set(xlim=(left - margin, right + margin), ylim=(low - margin, high + margin))
        axes.set_aspect("equal")
        axes.axis("off")
    figure.savefig(path, dpi=80)
