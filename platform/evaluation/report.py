"""The one table of an evaluation: the pretrained encoder beside what it has to beat."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from skelray.platform.evaluation import linear_fast
from skelray.platform.evaluation.results import (
    HEADLINES,
    PRETRAINED,
    RANDOM,
    RAW,
    SCRATCH,
    Evaluation,
    by_name,
    metric_of,
)
from skelray.platform.tables import aligned

# recipe -> what it was used for, where encoder and head were trained
_WHAT = {"finetune": "fine-tuned", "scratch": "from scratch", "semi": "with few labels"}
_ENCODERS = {RANDOM: "random encoder (BatchNorm set)", PRETRAINED: "pretrained encoder"}


Figures = Mapping[str, Sequence[float]]
"""A figure's name -> its value for every seed."""


def table(*evaluations: Evaluation) -> str:
    """Caption, figures in percent with one decimal, footnotes; a row per encoder and output.

    Of several evaluations, which differ in their seeds alone, mean and standard deviation.
    """
    about, figures = evaluations[0].about, by_name(evaluations)
    caption = _caption(about, [evaluation.about["seed"] for evaluation in evaluations])
    if unlabelled := [part for part in ("train", "test") if not about[part]]:
        parts = " nor ".join(unlabelled)
        return "\n".join(
            [*caption, "", f"nothing is measured: no recording of part {parts} has a label"]
        )
    columns = _columns(about)
    rows = [["", *columns]]
    for prefix, label in _labels(about).items():
        names = [f"{prefix}/{_full(name, prefix, about)}" for name in columns.values()]
        if any(name in figures for name in names):
            rows.append([label, *(_percent(figures, name) for name in names)])
    notes = [*_footnotes(about, figures), *_logistic(about, figures)] if about["linear"] else []
    notes += _trained(about)
    return "\n".join([*caption, "", *aligned(rows), "", *notes]).rstrip()


def _columns(about: Mapping[str, Any]) -> dict[str, str]:
    """Heading of a column -> its figure's name, those of linear classifiers without the recipe."""
    metric = metric_of(about)
    shown = HEADLINES[metric] if about["linear"] else {}
    columns = {f"linear {heading}": name for name, heading in shown.items()}
    suffix = "" if metric == "top1" else f" {HEADLINES[metric][metric]}"
    columns |= {f"KNN k={k}{suffix}": f"knn{k}/{metric}" for k in about["knn"]}
    for one in about["classifiers"]:
        if one["measure"] != "linear":
            labels = f"{100 * one['share']:g} % of labels" if one["share"] < 1 else "fine-tuned"
            columns[f"{labels} {HEADLINES[metric][metric]}"] = f"{one['measure']}/{metric}"
    return columns


def _labels(about: Mapping[str, Any]) -> dict[str, str]:
    """Prefix of the figures -> label of the row; the figures of the first go without its name."""
    labels = {RAW: "raw coordinates"}
    for output in (one["output"] for one in about["classifiers"] if one["start"] == SCRATCH):
        own = SCRATCH if output == about["first_output"] else f"{SCRATCH}/{output}"
        labels[own] = f"trained from scratch, {output}"
    for prefix, label in _ENCODERS.items():
        others = [name for name in about["outputs"] if name != about["first_output"]]
        together = about["first_output"] == "-".join(others)
        labels[prefix] = f"{label}, {about['first_output']}" if together else label
        labels |= {f"{prefix}/{name}": f"{label}, {name}" for name in others}
    return labels


def _full(name: str, prefix: str, about: Mapping[str, Any]) -> str:
    """A figure's name: linear columns show the fast recipe in all rows where it ran for all."""
    if "/" in name:
        return name
    fast = prefix == RAW or "fast" in about["linear"]
    return f"linear_fast/{name}" if fast else f"linear/{name}"


def _percent(figures: Figures, name: str) -> str:
    if name not in figures:
        return "-"
    mean = f"{statistics.fmean(figures[name]):.1f}"
    return mean + (f" ± {statistics.stdev(figures[name]):.1f}" if len(figures[name]) > 1 else "")


def _caption(about: Mapping[str, Any], seeds: Sequence[int]) -> list[str]:
    several = f", seeds {', '.join(map(str, seeds))}" if len(seeds) > 1 else ""
    spread = ", mean ± standard deviation over the seeds" if several else ""
    here = {key: about[key] for key in ("dataset", "protocol")}
    trained = about["trained_on"]
    other = f"; pretrained on {trained['dataset']}, {trained['protocol']}"
    return [
        f"{about['method']} on {about['dataset']}, protocol {about['protocol']}, "
        f"step {about['step']}{several}{other if trained != here else ''}",
        f"{about['train']} training and {about['test']} test recordings of {about['classes']} "
        f"classes; accuracy on the test part in percent{spread}",
    ]


def _footnotes(about: Mapping[str, Any], figures: Figures) -> Iterator[str]:
    fast = (
        "fast recipe: standardised features, one of "
        f"{len(linear_fast.RATES)} learning rates chosen on the training part's holdout subjects"
    )
    if "fast" in about["linear"]:
        yield f"linear: {fast}"
    if "published" not in about["linear"]:
        return
    published = f"published recipe: {_described(about['recipe'])}"
    if "fast" in about["linear"]:
        yield f"{published}: {_each(about, figures, 'linear', _ENCODERS)}"
        return
    yield f"linear: {published}"
    if any(name.startswith(f"{RAW}/") for name in figures):
        yield "raw coordinates: fast recipe, as the published rate is meant for encoders' features"
        yield fast


def _trained(about: Mapping[str, Any]) -> Iterator[str]:
    """How classifiers were trained, encoder and all."""
    recipes = {one["recipe_name"]: one["recipe"] for one in about["classifiers"]}
    for name, what in _WHAT.items():
        if recipe := recipes.get(name):
            yield f"{what}: {_described(recipe)}"


def _described(recipe: Mapping[str, Any]) -> str:
    optimiser = recipe["optimiser"]
    return (
        f"{optimiser['name'].upper()}, rate {optimiser['lr']:g}, {recipe['epochs']} epochs"
        f"{', augmented' if recipe['augment'] else ''}, last epoch"
    )


def _logistic(about: Mapping[str, Any], figures: Figures) -> Iterator[str]:
    if "logistic" in about["linear"]:
        rows = {RAW: "raw coordinates", **_ENCODERS}
        each = _each(about, figures, "linear_logistic", rows)
        yield f"logistic regression (scikit-learn): {each}"


def _each(about: Mapping[str, Any], figures: Figures, recipe: str, rows: Mapping[str, str]) -> str:
    """The headline figures of one recipe in every row that has it."""
    found = []
    for prefix, label in rows.items():
        names = {f"{prefix}/{recipe}/{n}": h for n, h in HEADLINES[metric_of(about)].items()}
        if any(name in figures for name in names):
            each = (f"{_percent(figures, name)} {heading}" for name, heading in names.items())
            found.append(f"{label} {', '.join(each)}")
    return "; ".join(found)
