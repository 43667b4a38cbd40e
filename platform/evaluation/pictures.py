"""Pictures of an evaluation as PNG and GIF files: t-SNE, confusion matrix, training curves."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from PIL import Image
from sklearn.manifold import TSNE

TSNE_CLASSES = 10
TSNE_SAMPLES = 1500
_GREY = "0.35"
_NUMBERED = 30  # classes up to which a confusion matrix shows its numbers


def tsne(
    path: Path, features: np.ndarray, label: np.ndarray, classes: Sequence[str], title: str
) -> Path:
    """Features (n, D) in the plane, coloured by class, of the recordings that `chosen` names."""
    rows = chosen(label)
    return scatter(path, plane(features[rows]), label[rows], classes, title)


def plane(features: np.ndarray, before: np.ndarray | None = None) -> np.ndarray:
    """Features (n, D) in the plane, by t-SNE: (n, 2).

    Perplexity 30, less for few recordings. It starts from the principal components, or where the
    points were `before`, from where they only move on: pictures in a row change little. Where all
    features are equal, as those of a collapsed encoder, so are all points.
    """
    if not _spread(features):  # scikit-learn's t-SNE kills the process
        return np.zeros((len(features), 2), np.float32)
    if before is not None and not _spread(before):
        before = None
    points: np.ndarray = TSNE(
        perplexity=min(30.0, max(1.0, (len(features) - 1) / 3)),
        init="pca" if before is None else before,
        early_exaggeration=12.0 if before is None else 1.0,
        random_state=0,
    ).fit_transform(features)
    return points


def _spread(values: np.ndarray) -> bool:
    """Whether rows (n, D) differ by more than rounding."""
    return float(np.ptp(values, axis=0).max()) > 1e-6 * float(np.abs(values).max())


def scatter(
    path: Path, points: np.ndarray, label: np.ndarray, classes: Sequence[str], title: str
) -> Path:
    """Points (n, 2), the farthest at the picture's edge, coloured by class."""
    points = points - points.mean(axis=0)
    points = points / (np.linalg.norm(points, axis=1).max() or 1.0)
    figure, axes = _canvas(9.0, 6.0, title)
    colours = matplotlib.colormaps["tab10"](np.arange(TSNE_CLASSES))
    for number, kind in enumerate(np.unique(label)):
        mine = points[label == kind]
        axes.scatter(
            *mine.T, s=14, color=colours[number], alpha=0.8, linewidths=0, label=classes[kind]
        )
    limits = (-1.05, 1.05)  # always the same: pictures in a row do not jump
    axes.set(xticks=[], yticks=[], aspect="equal", xlim=limits, ylim=limits)
    axes.set_anchor("W")  # the legend stands beside it
    axes.spines[:].set_visible(False)
    axes.legend(
        loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, markerscale=2, fontsize=9
    )
    return _save(figure, path)


def chosen(label: np.ndarray) -> np.ndarray:
    """The recordings that t-SNE shows: at most 1500 of at most 10 classes.

    Both are taken at even distances in their order: pictures of all checkpoints show the same ones.
    """
    present = np.unique(label)
    shown = present[_evenly(len(present), TSNE_CLASSES)]
    rows = np.flatnonzero(np.isin(label, shown))
    return rows[_evenly(len(rows), TSNE_SAMPLES)]


def animation(path: Path, frames: Sequence[Path], *, seconds: float = 0.5) -> Path:
    """Pictures one after the other as a GIF that plays for ever; the last stays longer."""
    images = [Image.open(frame).convert("P", palette=Image.Palette.ADAPTIVE) for frame in frames]
    milliseconds = [int(1000 * seconds)] * (len(images) - 1) + [int(4000 * seconds)]
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{os.getpid()}.{path.name}")
    first, *others = images
    first.save(scratch, append_images=others, save_all=True, duration=milliseconds, loop=0)
    scratch.replace(path)
    return path


def _evenly(count: int, limit: int) -> np.ndarray:
    """At most `limit` of `count` positions at even distances, first and last included."""
    return np.unique(np.linspace(0, count - 1, min(count, limit)).round().astype(int))


def confusion(
    path: Path, label: np.ndarray, predicted: np.ndarray, classes: Sequence[str], title: str
) -> Path:
    """Percent of each true class (rows) that was taken for each class (columns)."""
    count = len(classes)
    matrix = np.zeros((count, count))
    np.add.at(matrix, (label, predicted), 1.0)
    percent = 100.0 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1.0)
    readable = count <= _NUMBERED
    side = 4.0 + 0.36 * count if readable else 22.0
    figure, axes = _canvas(side + 1.0, side, title)
    # without numbers, rare confusions are seen only if faint shades are spread
    shades = PowerNorm(1.0 if readable else 0.5, vmin=0.0, vmax=100.0)
    image = axes.imshow(percent, cmap="Blues", norm=shades, interpolation="nearest")
    size = min(9.0, 900.0 / count)
    axes.set_xticks(range(count), classes, rotation=90, fontsize=size)
    axes.set_yticks(range(count), classes, fontsize=size)
    axes.set(xlabel="predicted", ylabel="true class")
    if readable:
        _write_numbers(axes, percent)
    bar = figure.colorbar(image, ax=axes, fraction=0.03, pad=0.02, aspect=40)
    bar.set_label("percent of the true class")
    bar.outline.set_visible(False)
    return _save(figure, path)


def _write_numbers(axes: Axes, percent: np.ndarray) -> None:
    for (row, column), value in np.ndenumerate(percent):
        if value >= 0.5:
            colour = "white" if value > 55 else _GREY
            axes.text(column, row, f"{value:.0f}", ha="center", va="center", color=colour, size=8)


def curves(path: Path, records: Sequence[Mapping[str, Any]], title: str) -> Path:
    """Loss and learning rate by epoch, from records of `metrics.jsonl`; phases in a row."""
    drawn = {"train/loss": "loss", "train/lr": "learning rate"}
    figure, panels = _canvas(8.0, 6.0, title, rows=len(drawn))
    for axes, (name, what) in zip(panels, drawn.items(), strict=True):
        values = [record["metrics"].get(name, np.nan) for record in records]
        epochs = np.arange(1, len(values) + 1)
        axes.plot(epochs, values, color="tab:blue", marker="o" if len(values) < 30 else None, ms=3)
        axes.set_ylabel(what)
        axes.grid(alpha=0.3, linewidth=0.6)
        for start in _phase_starts(records):
            axes.axvline(start + 0.5, color=_GREY, linewidth=0.8, linestyle="--")
    panels[-1].set_xlabel("epoch")
    panels[-1].xaxis.get_major_locator().set_params(integer=True)
    return _save(figure, path)


def _phase_starts(records: Sequence[Mapping[str, Any]]) -> list[int]:
    """Epochs done before each phase but the first."""
    phases = [record.get("phase") for record in records]
    return [i for i in range(1, len(phases)) if phases[i] != phases[i - 1]]


def _canvas(width: float, height: float, title: str, rows: int = 1) -> tuple[Figure, Any]:
    """A figure outside pyplot, which keeps figures alive: one axes, or an array of `rows`."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(title, fontsize=12)
    axes = figure.subplots(rows, 1, sharex=True)
    for one in np.atleast_1d(axes):
        one.spines[["top", "right"]].set_visible(False)
        one.tick_params(color=_GREY)
    return figure, axes


def _save(figure: Figure, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{os.getpid()}.{path.name}")
    figure.savefig(scratch, dpi=140)
    scratch.replace(path)
    return path
