"""Commands on methods and runs: `run`, `evaluate`, `ensemble`, `import-weights`, `sync`, `list`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from skelray.platform import paths, registry
from skelray.platform.cli.app import Debug, app
from skelray.platform.config import resolve
from skelray.platform.errors import UsageError

Overrides = Annotated[
    list[str] | None, typer.Argument(help="key=value, dotted: method.lr=0.05 training.workers=2")
]


@app.command("run")
def run_command(
    method: Annotated[str, typer.Argument(help="A method; see `skelray list`.")],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(help="The experiment (default synthetic), then key=value …"),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the configuration and the cost; start nothing.")
    ] = False,
    seeds: Annotated[
        int, typer.Option(min=1, help="Run so many seeds, from `seed` on, and summarise them.")
    ] = 1,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Set an earlier run of this configuration aside.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Prepares if needed, pretrains, evaluates and logs a method on an experiment."""
    experiment, overrides = _split(arguments or [])
    config = resolve(method, experiment, overrides)
    if dry_run:
        from skelray.platform.estimate import report

        typer.echo(report(config))
        if seeds > 1:
            typer.echo(f"for each of {seeds} seeds")
        return
    from skelray.platform.evaluation import table
    from skelray.platform.runner import run
    from skelray.platform.seeds import run_seeds
    from skelray.platform.tracking.store import ui_address, ui_command

    if seeds > 1:
        result, evaluations = run_seeds(config, seeds, fresh=fresh)
        typer.echo(table(*evaluations))
        typer.echo(f"all figures: {result}")
    else:
        result, evaluation = run(config, fresh=fresh)
        typer.echo(table(evaluation))
        typer.echo(f"run folder: {result}")
    typer.echo(
        f"curves, pictures and the model in MLflow: {ui_command()}\nthen open {ui_address()}"
    )


@app.command("evaluate")
def evaluate_command(
    run: Annotated[Path, typer.Argument(help="A run's folder, its name, or a checkpoint.")],
    overrides: Overrides = None,
    debug: Debug = False,
) -> None:
    """Measures a run's last checkpoint: evaluation.…=value; on other recordings: data.…=value."""
    from skelray.platform.evaluation import table
    from skelray.platform.runner import evaluate_run

    _, evaluation = evaluate_run(_found(run), overrides or [])
    typer.echo(table(evaluation))


@app.command("ensemble")
def ensemble_command(
    runs: Annotated[
        list[str], typer.Argument(help="Folders or names of runs; RUN:OUTPUT for one output.")
    ],
    weights: Annotated[
        str, typer.Option(help="One for each run, with commas between; all 1 by default.")
    ] = "",
    recipe: Annotated[
        str, typer.Option(help="Whose scores: linear, linear_fast, linear_logistic or finetune.")
    ] = "linear",
    debug: Debug = False,
) -> None:
    """Fuses the linear classifiers of several runs or outputs, by sample id."""
    from skelray.platform.evaluation.ensemble import Member, fuse

    members = []
    for run in runs:
        name, _, output = run.partition(":")
        members.append(Member.open(_found(Path(name)), output, recipe))
    fused = fuse(members, _numbers(weights) if weights else [1.0] * len(members))
    typer.echo(fused.table())
    record = {"recipe": recipe, **fused.record()}
    file = paths.summaries() / f"ensemble-{paths.short_hash(record)}.json"
    paths.write_json(file, record)
    typer.echo(f"weights and figures: {file}")


@app.command("import-weights")
def import_weights_command(
    method: Annotated[str, typer.Argument(help="A method; see `skelray list`.")],
    file: Annotated[Path, typer.Argument(help="The original implementation's checkpoint.")],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(help="Further files, where it consists of several, and key=value …"),
    ] = None,
    experiment: Annotated[
        str, typer.Option(help="The experiment whose data the weights are measured on.")
    ] = "synthetic",
    debug: Debug = False,
) -> None:
    """Makes a published checkpoint a run that `skelray evaluate` measures."""
    from skelray.platform.imported import import_weights

    files = [file, *(Path(each) for each in arguments or [] if "=" not in each)]
    overrides = [each for each in arguments or [] if "=" in each]
    folder = import_weights(method, files, experiment, overrides)
    typer.echo(f"imported into {folder}\nmeasure it with: skelray evaluate {folder.name}")


@app.command("sync")
def sync_command(
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Folders of runs, or names (default: all).")
    ] = None,
    debug: Debug = False,
) -> None:
    """Brings to MLflow what it lacks of runs: it was away, or a run was killed."""
    from skelray.platform.tracking.sync import run_folders, sync

    folders = [_found(run) for run in runs] if runs else run_folders()
    for line in sync(folders):
        typer.echo(line)
    if not folders:
        typer.echo(f"no runs in {paths.runs()}")


@app.command("list")
def list_command(debug: Debug = False) -> None:
    """Names the methods with their experiments, the data sets, what is prepared and how large."""
    from skelray.platform.data import inventory

    files = registry.experiment_files()
    for name in registry.method_names():
        experiments = sorted(experiment for method, experiment in files if method == name)
        kind = registry.load_method(name)
        presets = ", ".join([kind.DEFAULTS, *kind.PRESETS])
        typer.echo(f"method {name}: {', '.join(experiments)} (presets {presets})")
    for name in registry.dataset_names():
        dataset = registry.load_dataset(name)
        protocols = ", ".join(
            f"{one.name} ({len(one.classes)} classes)" if one.classes else one.name
            for one in dataset.protocols
        )
        typer.echo(f"data set {name}: {protocols}; {len(dataset.classes)} classes")
        for line in inventory.store_lines(dataset):
            typer.echo(line)
    for line in inventory.other_lines(registry.dataset_names()):
        typer.echo(line)


def _numbers(text: str) -> list[float]:
    """Numbers with commas between; UsageError for anything else."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--weights {text}: give numbers with commas between") from None


def _found(run: Path) -> Path:
    """The path that is given, or the run of that name."""
    return run if run.exists() else paths.runs() / run


def _split(arguments: list[str]) -> tuple[str, list[str]]:
    """The experiment, if one is named, and the overrides."""
    if arguments and "=" not in arguments[0]:
        return arguments[0], arguments[1:]
    return "synthetic", arguments
