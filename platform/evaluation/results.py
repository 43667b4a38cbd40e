"""The figures of one checkpoint on disk: what is known already is not computed again."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skelray.platform import paths
from skelray.platform.errors import DataError

RAW = "baseline/raw"
RANDOM = "baseline/random"
SCRATCH = "baseline/scratch"  # trained on labels from initial weights
PRETRAINED = "eval"

# data set's metric -> what tables show of a classifier: figure's name -> heading
HEADLINES: Mapping[str, Mapping[str, str]] = {
    "top1": {"top1": "top-1", "top5": "top-5"},
    "mean_class": {"mean_class": "mean class", "top1": "top-1"},
}


def metric_of(about: Mapping[str, Any]) -> str:
    """The metric of the data set that was measured; evaluations of earlier versions name none."""
    return str(about.get("metric", "top1"))


@dataclass
class Evaluation:
    """Everything measured on one checkpoint; accuracies in percent.

    Names are `eval/…` for the checkpoint, `baseline/raw/…`, `baseline/random/…` and
    `baseline/scratch/…` for what it is compared with. `path` is the file; its pictures and tables
    lie in `folder`, beside it.
    """

    path: Path
    about: dict[str, Any]  # data set, protocol, counts, recipes, checkpoint and its hash
    figures: dict[str, float] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)  # name -> picture or table in `folder`

    @classmethod
    def open(cls, path: Path, about: Mapping[str, Any]) -> Evaluation:
        """What is known of these weights; empty where nothing is, or only of other weights.

        The first output's figures go without its name: where another is the first, all is measured
        again. What the linear probe gave is measured again where its recipe is another.
        """
        if not path.exists():
            return cls(path, dict(about))
        before = cls.read(path)
        decides = ("checkpoint_hash", "first_output")
        if any(before.about.get(key) != about[key] for key in decides):
            return cls(path, dict(about))
        figures, files = before.figures, before.files
        if before.about.get("recipe") != about.get("recipe"):
            figures, files = _without_linear(figures), _without_linear(files)
        return cls(path, dict(about), figures, files)

    @classmethod
    def read(cls, path: Path) -> Evaluation:
        """What was measured; DataError where the file is damaged."""
        try:
            tree = json.loads(path.read_text(encoding="utf-8"))
            figures, files = dict(tree["figures"]), dict(tree.get("files", {}))
            return cls(path, dict(tree["about"]), figures, files)
        except (json.JSONDecodeError, KeyError, TypeError, ValueError):
            raise DataError(f"{path} is damaged: delete it to evaluate again") from None

    @property
    def folder(self) -> Path:
        """Where pictures and tables lie."""
        return self.path.with_suffix("")

    @property
    def pictures(self) -> list[Path]:
        """All pictures, by name; no two files have the same name."""
        files = [self.folder / file for _, file in sorted(self.files.items())]
        return [file for file in files if file.suffix in (".png", ".gif")]

    def has(self, figures: Set[str], files: Set[str]) -> bool:
        """True where all these figures and files are there."""
        written = all(
            name in self.files and (self.folder / self.files[name]).exists() for name in files
        )
        return figures <= self.figures.keys() and written

    def save(self) -> None:
        """Writes the file atomically."""
        tree = {"about": self.about, "figures": self.figures, "files": self.files}
        paths.write_json(self.path, tree)


def _without_linear(known: Mapping[str, Any]) -> dict[str, Any]:
    """What does not come from the published linear probe, whose recipe is another now."""
    return {name: value for name, value in known.items() if "/linear/" not in name}


def by_name(evaluations: Sequence[Evaluation]) -> dict[str, list[float]]:
    """The figures that all of them have, each with its values in their order."""
    first, *others = (evaluation.figures for evaluation in evaluations)
    shared = [name for name in first if all(name in figures for figures in others)]
    return {name: [evaluation.figures[name] for evaluation in evaluations] for name in shared}


def summary(evaluations: Sequence[Evaluation]) -> dict[str, dict[str, Any]]:
    """Mean, standard deviation (of the sample; none of one value) and values of every figure."""
    return {
        name: {
            "mean": statistics.fmean(values),
            "std": statistics.stdev(values) if len(values) > 1 else None,
            "values": values,
        }
        for name, values in by_name(evaluations).items()
    }
