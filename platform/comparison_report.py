"""A comparison as a table of text, Markdown, CSV and a picture."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from skelray.platform import paths
from skelray.platform.comparison import Row
from skelray.platform.tables import aligned


def text(rows: Sequence[Row], figures: Sequence[str]) -> str:
    """For the terminal, with the sources of what papers report below."""
    return "\n".join([*aligned(_cells(rows, figures)), *_sources(rows, figures)])


def markdown(rows: Sequence[Row], figures: Sequence[str]) -> str:
    """The same table for a page."""
    header, *cells = _cells(rows, figures)
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *cells]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return "\n".join([table, *_sources(rows, figures), ""])


def write_csv(path: Path, rows: Sequence[Row], figures: Sequence[str]) -> None:
    """A line for each row and figure: mean, deviation, every seed's value, what papers report."""
    lines = [
        {
            "method": row.method,
            "settings": row.settings,
            "start": row.start,
            "output": row.output,
            "figure": figure,
            "mean": statistics.fmean(values),
            "std": statistics.stdev(values) if len(values) > 1 else None,
            "seeds": " ".join(map(str, row.seeds)),
            "values": " ".join(f"{value:.4f}" for value in values),
            "published": _reported(row, figure),
        }
        for row in rows
        for figure in figures
        if (values := row.values.get(figure))
    ]
    paths.write_text(path, pd.DataFrame(lines).to_csv(index=False))


def plot(path: Path, rows: Sequence[Row], figure: str, title: str) -> None:
    """A bar for each row, with its deviation, and a mark where a paper's figure is."""
    shown = [row for row in rows if figure in row.values][::-1]  # the first on top
    drawn = Figure(figsize=(9.0, 1.2 + 0.4 * len(shown)), layout="constrained")
    axes = drawn.subplots()
    means = [statistics.fmean(row.values[figure]) for row in shown]
    spread = [
        statistics.stdev(row.values[figure]) if len(row.values[figure]) > 1 else 0.0
        for row in shown
    ]
    places = np.arange(len(shown))
    axes.barh(places, means, xerr=spread, color="tab:blue", ecolor="0.35", height=0.6)
    reported = [_reported(row, figure) for row in shown]
    marks = [(value, place) for place, value in enumerate(reported) if value is not None]
    if marks:
        axes.scatter(*zip(*marks, strict=True), marker="D", color="tab:orange", label="published")
        axes.legend(frameon=False)
    axes.set_yticks(places, [row.label for row in shown])
    axes.set(xlabel=f"{figure}, percent", title=title, xlim=(0, 100))
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn.savefig(path, dpi=140)


def _cells(rows: Sequence[Row], figures: Sequence[str]) -> list[list[str]]:
    """Header and cells; a column of published figures where there are any."""
    reported = any(_all_reported(row, figures) for row in rows)
    header = ["", "seeds", *figures, *(["published"] if reported else [])]
    cells = [
        [
            *(row.label, str(len(row.seeds))),
            *(row.text(figure) for figure in figures),
            *([_all_reported(row, figures) or "-"] if reported else []),
        ]
        for row in rows
    ]
    return [header, *cells]


def _all_reported(row: Row, figures: Sequence[str]) -> str:
    """What papers report of a row: the value, with its figure's name unless it is `linear/top1`."""
    found = [one for one in row.published if one.figure in _comparable(figures)]
    return ", ".join(
        f"{one.value:g}" if one.figure == "linear/top1" else f"{one.figure} {one.value:g}"
        for one in found
    )


def _comparable(figures: Sequence[str]) -> set[str]:
    """Names under which papers report what is shown: the fast linear recipe stands for theirs."""
    return {figure.replace("linear_fast/", "linear/") for figure in figures}


def _reported(row: Row, figure: str) -> float | None:
    found = [one.value for one in row.published if one.figure == figure]
    return found[0] if found else None


def _sources(rows: Sequence[Row], figures: Sequence[str]) -> Iterator[str]:
    """A line for each source of published figures that are shown."""
    shown = _comparable(figures)
    sources = {one.source for row in rows for one in row.published if one.figure in shown}
    if sources:
        yield ""
        yield f"published: {'; '.join(sorted(sources))}"
