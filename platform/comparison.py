"""Runs side by side: every configuration that was measured on a data set under one protocol.

All is read from the run folders, so that it needs neither Ray nor MLflow. Runs that differ in their
seeds alone are one row, with mean and standard deviation.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from skelray.platform import paths, registry
from skelray.platform.config import RunConfig, build, read_yaml
from skelray.platform.errors import SkelrayError
from skelray.platform.evaluation.results import PRETRAINED, RANDOM, RAW, SCRATCH, Evaluation
from skelray.platform.published_figures import PublishedFigure, published_figures
from skelray.platform.tracking.run_file import CONFIG, RunFile

STAGES = ("pretrain", "import", "transfer")
# prefix of figures -> what it begins with
_STARTS = {PRETRAINED: "", RANDOM: "random encoder", SCRATCH: "from scratch"}
_ASIDE = ".before-"  # in the names of runs that --fresh has replaced


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One run with its newest evaluation on one data set."""

    folder: Path
    config: RunConfig
    tags: Mapping[str, str]
    evaluation: Evaluation

    @classmethod
    def read(cls, folder: Path) -> Measured | None:
        """None where nothing has been measured yet; SkelrayError where a file is damaged."""
        files = sorted((folder / "evaluations").glob("step-*.json"))
        if not files or not (folder / CONFIG).exists():
            return None
        tree = read_yaml(folder / CONFIG)
        config = build(registry.load_method(str(tree["name"])).Config, tree)
        tags = RunFile.read(folder).about.tags
        return cls(folder=folder, config=config, tags=tags, evaluation=Evaluation.read(files[-1]))

    @property
    def group(self) -> tuple[str, ...]:
        """Equal for the seeds of one configuration."""
        return (
            self.config.name,
            self.tags.get("stage", ""),
            self.tags.get("configuration", ""),
        )


@dataclass(frozen=True, kw_only=True)
class Row:
    """One output of one configuration, or what it is compared with."""

    method: str
    settings: str  # what tells it from the method's other rows
    start: str  # empty for the pretrained encoder
    output: str
    seeds: tuple[int, ...]
    values: Mapping[str, Sequence[float]]  # figure without its prefix -> of every seed
    published: Sequence[PublishedFigure]

    @property
    def label(self) -> str:
        """The first column."""
        row = " ".join(part for part in (self.method, self.settings, self.start) if part)
        return f"{row}, {self.output}" if self.output else row

    def text(self, figure: str) -> str:
        """Mean and standard deviation with one decimal; a dash where it was not measured."""
        values = self.values.get(figure, ())
        if not values:
            return "-"
        mean = f"{statistics.fmean(values):.1f}"
        return mean + (f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else "")


def read_runs(dataset: str = "", protocol: str = "") -> tuple[list[Measured], list[str]]:
    """The runs measured on a data set under a protocol (on any), and what could not be read."""
    found, damaged = [], []
    for folder in _folders():
        try:
            run = Measured.read(folder)
        except SkelrayError as error:
            damaged.append(str(error))
            continue
        if run is None or run.tags.get("stage") not in STAGES:
            continue
        about = run.evaluation.about
        if dataset in ("", about["dataset"]) and protocol in ("", about["protocol"]):
            found.append(run)
    return found, damaged


def missing_seeds(runs: Sequence[Measured], count: int) -> list[RunConfig]:
    """What would have to be run so that every configuration has `count` seeds, from its first on.

    Imported weights and transfers have no seeds of their own to run.
    """
    groups: dict[tuple[str, ...], list[RunConfig]] = {}
    for run in runs:
        if run.tags.get("stage") == "pretrain":
            groups.setdefault(run.group, []).append(run.config)
    missing = []
    for configs in groups.values():
        there = {config.seed for config in configs}
        wanted = range(min(there), min(there) + count)
        missing += [configs[0].model_copy(update={"seed": s}) for s in wanted if s not in there]
    return missing


def measured_on(runs: Sequence[Measured]) -> list[tuple[str, str]]:
    """Data sets and protocols that runs were measured on."""
    abouts = [run.evaluation.about for run in runs]
    return sorted({(about["dataset"], about["protocol"]) for about in abouts})


def _folders() -> Iterator[Path]:
    for run in sorted(paths.runs().glob("*")):
        if run.is_dir() and _ASIDE not in run.name:
            yield run
            yield from sorted(paths.transfers(run).glob("*"))


def rows(runs: Sequence[Measured]) -> list[Row]:
    """A row for each output of each configuration, by method."""
    groups: dict[tuple[str, ...], list[Measured]] = {}
    for run in sorted(runs, key=lambda run: (run.config.name, run.folder.name)):
        groups.setdefault(run.group, []).append(run)
    told = _differences([group[0] for group in groups.values()])
    return [
        row
        for group, settings in zip(groups.values(), told, strict=True)
        for row in _rows_of(sorted(group, key=lambda run: run.config.seed), settings)
    ]


def _rows_of(group: Sequence[Measured], settings: str) -> Iterator[Row]:
    about, method = group[0].evaluation.about, group[0].config.name
    seeds = tuple(run.config.seed for run in group)
    row = partial(Row, method=method, settings=settings, seeds=seeds)
    for start, what in _STARTS.items():
        for output in about["outputs"]:
            prefix = start if output == about["first_output"] else f"{start}/{output}"
            if values := _values(group, prefix):
                place = (method, about["dataset"], about["protocol"], output)
                published = published_figures(*place) if start == PRETRAINED else ()
                yield row(start=what, output=output, values=values, published=published)
    if values := _values(group, RAW):
        yield row(start="raw coordinates", output="", values=values, published=())


def _values(group: Sequence[Measured], prefix: str) -> dict[str, list[float]]:
    """The figures that all of the group have under a prefix, as MEASURE/NAME."""
    found: dict[str, list[float]] = {}
    for run in group:
        for name, value in run.evaluation.figures.items():
            measure = name.removeprefix(f"{prefix}/")
            # deeper ones are another output's: eval/motion/knn1/top1
            if name.startswith(f"{prefix}/") and measure.count("/") == 1:
                found.setdefault(measure, []).append(value)
    return {name: values for name, values in found.items() if len(values) == len(group)}


def _differences(runs: Sequence[Measured]) -> list[str]:
    """For each, the settings in which it differs from others of its method, and where it began."""
    told = []
    for run in runs:
        same = [other for other in runs if other.config.name == run.config.name]
        flat = [_settings(other) for other in same]
        keys = sorted({key for each in flat for key in each})
        own = _settings(run)
        differ = [
            f"{key}={own[key]}"
            for key in keys
            if key in own and len({each.get(key) for each in flat}) > 1
        ]
        if run.tags.get("stage") == "transfer":
            trained = run.evaluation.about["trained_on"]
            differ.append(f"pretrained on {trained['dataset']} {trained['protocol']}")
        if run.tags.get("stage") == "import":
            differ.append("imported")
        told.append(" ".join(differ))
    return told


def _settings(run: Measured) -> dict[str, str]:
    """What makes a configuration, by name; the method's own without `method.`."""
    flat = run.config.flat()
    own = {k.removeprefix("method."): str(v) for k, v in flat.items() if k.startswith("method.")}
    return own | {"size": run.config.data.size, "clips": run.config.data.clips}


def headline_figures(found: Iterable[Row]) -> list[str]:
    """The figures that a comparison shows: those that classifiers and neighbours are known by."""
    known = {name for row in found for name in row.values}
    order = ("linear/", "linear_fast/", "knn", "retrieval/map", "recognition/", "semi", "finetune/")
    wanted = [name for name in sorted(known) if name.endswith(("/top1", "/map"))]
    return [name for start in order for name in wanted if name.startswith(start)]
