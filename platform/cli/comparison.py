"""`compare`: runs on one data set side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skelray.platform import paths, registry
from skelray.platform.cli.app import Debug, app
from skelray.platform.errors import UsageError

if TYPE_CHECKING:
    from skelray.platform.comparison import Row


@app.command("compare")
def compare_command(
    dataset: Annotated[
        str, typer.Argument(help="A data set; by default the only one that was measured on.")
    ] = "",
    protocol: Annotated[str, typer.Argument(help="One of its protocols.")] = "",
    figures: Annotated[
        str, typer.Option(help="Columns, with commas between: linear/top1,knn1/top1.")
    ] = "",
    seeds: Annotated[
        int, typer.Option(min=1, help="First run what is missing of so many seeds of each row.")
    ] = 1,
    markdown: Annotated[Path | None, typer.Option(help="Write the table as Markdown.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write every figure of every seed.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the first column.")] = None,
    debug: Debug = False,
) -> None:
    """Shows all runs of a data set and protocol side by side, and what papers report."""
    # what reads and draws tables is loaded by those who do
    from skelray.platform import comparison, comparison_report

    dataset, protocol = _chosen(dataset, protocol)
    runs, damaged = comparison.read_runs(dataset, protocol)
    if missing := comparison.missing_seeds(runs, seeds):
        from skelray.platform.runner import run

        for number, config in enumerate(missing, start=1):
            typer.echo(f"{config.name} seed {config.seed}: run {number} of {len(missing)}")
            run(config)
        runs, damaged = comparison.read_runs(dataset, protocol)
    rows = comparison.rows(runs)
    columns = _columns(figures, rows, comparison.headline_figures(rows))
    typer.echo(f"{dataset}, protocol {protocol}: percent, mean ± standard deviation over the seeds")
    typer.echo(comparison_report.text(rows, columns))
    for line in damaged:
        typer.echo(f"left out: {line}", err=True)
    if markdown:
        paths.write_text(markdown, comparison_report.markdown(rows, columns))
    if csv:
        comparison_report.write_csv(csv, rows, columns)
    if plot:
        comparison_report.plot(plot, rows, columns[0], f"{dataset}, {protocol}")


def _chosen(dataset: str, protocol: str) -> tuple[str, str]:
    """The data set and protocol to compare on; UsageError where it is not clear which."""
    from skelray.platform.comparison import measured_on, read_runs

    runs, damaged = read_runs()
    known = measured_on(runs)
    if not known:
        others = f"; {len(damaged)} cannot be read, such as: {damaged[0]}" if damaged else ""
        raise UsageError(f"no run below {paths.runs()} has been measured yet{others}")
    fitting = [pair for pair in known if dataset in ("", pair[0]) and protocol in ("", pair[1])]
    if len(fitting) == 1:
        return fitting[0]
    places = ", ".join(" ".join(pair) for pair in (fitting or known))
    if fitting:
        raise UsageError(f"several fit, name one: {places}")
    raise UsageError(f"nothing was measured on {dataset} {protocol}".rstrip() + f"; on {places}")


def _columns(asked: str, rows: list[Row], usual: list[str]) -> list[str]:
    """The figures to show; UsageError for one that no run has."""
    columns = asked.split(",") if asked else usual
    known = sorted({name for row in rows for name in row.values})
    for name in columns:
        if name not in known:
            raise UsageError(f"no run has a figure {name!r}: {registry.nearest(name, known)}")
    return columns
