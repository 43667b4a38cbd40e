"""What can be measured on the features of one output: each measurement yields (name, value).

A value is a figure, or the path of a picture or of a table of scores. The names are known before a
measurement runs, so that one whose results are there is left out.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import Tensor

from skelray.platform.evaluation import pictures
from skelray.platform.evaluation.clustering import clustering
from skelray.platform.evaluation.knn import knn
from skelray.platform.evaluation.labelled import ClassifierResult, Labelled
from skelray.platform.evaluation.linear import LinearResult, published_linear
from skelray.platform.evaluation.linear_fast import FastLinearResult, fast_linear
from skelray.platform.evaluation.logistic import logistic_regression
from skelray.platform.evaluation.representation import COLLAPSED, collapsed, representation
from skelray.platform.evaluation.retrieval import retrieval
from skelray.platform.evaluation.scores import Scores
from skelray.platform.method import EvalRecipe

_LOG = logging.getLogger(__name__)

Value = float | Path
Place = Callable[[str], Path]
"""A file's name -> where to write it."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """Features of one output on both parts of a protocol."""

    train: Labelled
    test: Labelled
    holdout: Tensor  # (n_train,) bool: set apart for choosing a learning rate
    test_id: np.ndarray  # (n_test,) str
    classes: Sequence[str]
    title: str  # of pictures


@dataclass(frozen=True, kw_only=True)
class Measurement(ABC):
    """One evaluation, and the names of the figures, pictures and tables it yields."""

    figures: frozenset[str] = frozenset()
    pictures: frozenset[str] = frozenset()
    tables: frozenset[str] = frozenset()

    @abstractmethod
    def __call__(self, split: Split, place: Place) -> Iterator[tuple[str, Value]]:
        """Measures; files are written where `place` says."""


@dataclass(frozen=True, kw_only=True)
class LinearProbe(Measurement):
    """A linear classifier; its confusion matrix and its table of scores where asked for."""

    name: str

    @abstractmethod
    def fit(self, split: Split) -> ClassifierResult:
        """Trains and tests the classifier."""

    def __call__(self, split: Split, place: Place) -> Iterator[tuple[str, Value]]:
        """Trains, tests, and writes the files that are asked for."""
        result = self.fit(split)
        for name, value in result.figures().items():
            yield f"{self.name}/{name}", value
        label, scores = split.test.label.numpy(), result.scores.numpy()
        for name in self.pictures:
            title = f"{split.title}\nlinear classification, top-1 {result.top1:.1f} %"
            path, predicted = place(f"{name}.png"), scores.argmax(axis=1)
            yield name, pictures.confusion(path, label, predicted, split.classes, title)
        for name in self.tables:
            path = place(f"{name.replace('/', '-')}.parquet")
            Scores(id=split.test_id, label=label, values=scores).write(path)
            yield name, path


def _named(probe: str, *further: str) -> frozenset[str]:
    return frozenset(f"{probe}/{name}" for name in ("top1", "top5", "mean_class", *further))


@dataclass(frozen=True, kw_only=True)
class PublishedLinear(LinearProbe):
    """`linear`: the method's published recipe."""

    seed: int
    recipe: EvalRecipe
    name: str = "linear"
    figures: frozenset[str] = _named("linear", "top1_best")

    def fit(self, split: Split) -> LinearResult:
        """Trains as published."""
        classes = len(split.classes)
        return published_linear(split.train, split.test, classes, self.recipe, self.seed)


@dataclass(frozen=True, kw_only=True)
class FastLinear(LinearProbe):
    """`linear_fast`: the rate chosen on the holdout subjects; `lr` tells which."""

    seed: int
    name: str = "linear_fast"
    figures: frozenset[str] = _named("linear_fast", "lr")

    def fit(self, split: Split) -> FastLinearResult:
        """Trains many rates at once."""
        classes = len(split.classes)
        return fast_linear(split.train, split.test, split.holdout, classes, self.seed)


@dataclass(frozen=True, kw_only=True)
class Logistic(LinearProbe):
    """`linear_logistic`: scikit-learn's logistic regression, without any choice."""

    name: str = "linear_logistic"
    figures: frozenset[str] = _named("linear_logistic")

    def fit(self, split: Split) -> ClassifierResult:
        """Solves it to the end."""
        return logistic_regression(split.train, split.test, len(split.classes))


@dataclass(frozen=True, kw_only=True)
class NearestNeighbours(Measurement):
    """`knn<k>`: cosine k-nearest neighbours, for every k of `ks` from one search."""

    ks: tuple[int, ...]
    figures: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        """Names the figures."""
        names = (f"knn{k}/{name}" for k in self.ks for name in ("top1", "mean_class"))
        object.__setattr__(self, "figures", frozenset(names))

    def __call__(self, split: Split, place: Place) -> Iterator[tuple[str, Value]]:
        """Searches the training part for neighbours of the test part."""
        for k, figures in knn(split.train, split.test, self.ks).items():
            for name, value in figures.items():
                yield f"knn{k}/{name}", value


@dataclass(frozen=True, kw_only=True)
class Retrieval(Measurement):
    """`retrieval`: the training part ranked by similarity to each recording of the test part."""

    ks: tuple[int, ...]
    figures: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        """Names the figures."""
        names = ("map", *(f"r{k}" for k in self.ks))
        object.__setattr__(self, "figures", frozenset(f"retrieval/{name}" for name in names))

    def __call__(self, split: Split, place: Place) -> Iterator[tuple[str, Value]]:
        """Ranks."""
        for name, value in retrieval(split.train, split.test, self.ks).items():
            yield f"retrieval/{name}", value


@dataclass(frozen=True, kw_only=True)
class Clustering(Measurement):
    """`cluster`: how well groups of the test part are classes."""

    seed: int
    figures: frozenset[str] = frozenset(f"cluster/{name}" for name in ("nmi", "ari", "accuracy"))

    def __call__(self, split: Split, place: Place) -> Iterator[tuple[str, Value]]:
        """Groups."""
        for name, value in clustering(split.test, self.seed).items():
            yield f"cluster/{name}", value


@dataclass(frozen=True, kw_only=True)
class Representation(Measurement):
    """`repr`: rank and spread of the test part's features; a warning where they have collapsed."""

    figures: frozenset[str] = frozenset(f"repr/{name}" for name in ("rankme", "uniformity", "std"))

    def __call__(self, split: Split, place: Place) -> Iterator[tuple[str, Value]]:
        """Looks at the features alone."""
        found = representation(split.test.features)
        if collapsed(found):
            _LOG.warning("%s: the features have collapsed: %s", split.title, COLLAPSED)
        for name, value in found.items():
            yield f"repr/{name}", value


@dataclass(frozen=True, kw_only=True)
class TSNE(Measurement):
    """`tsne`: the test part's features in the plane."""

    pictures: frozenset[str] = frozenset({"tsne"})

    def __call__(self, split: Split, place: Place) -> Iterator[tuple[str, Value]]:
        """Draws at most ten classes."""
        features, label = split.test.features.numpy(), split.test.label.numpy()
        title = f"{split.title}\nt-SNE of the test part's features"
        yield "tsne", pictures.tsne(place("tsne.png"), features, label, split.classes, title)
