"""The command line: `skelray VERB …`, and the same verbs as `python experiments/VERB.py …`."""

from __future__ import annotations

import logging
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from skelray.platform import paths, registry
from skelray.platform.config import resolve
from skelray.platform.errors import SkelrayError

app = typer.Typer(
    help="Self-supervised learning on skeleton and RGB video: pretrain, evaluate, compare.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
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
        return
    from skelray.platform.evaluation import table
    from skelray.platform.runner import run
    from skelray.platform.tracking.store import ui_address, ui_command

    folder, evaluation = run(config, fresh=fresh)
    typer.echo(table(evaluation))
    typer.echo(
        f"run folder: {folder}\n"
        f"curves, pictures and the model in MLflow: {ui_command()}\n"
        f"then open {ui_address()}"
    )


@app.command("evaluate")
def evaluate_command(
    run: Annotated[Path, typer.Argument(help="A run's folder, its name, or a checkpoint.")],
    overrides: Overrides = None,
    debug: Debug = False,
) -> None:
    """Measures a run's last checkpoint, with evaluation.…=value overrides."""
    from skelray.platform.evaluation import table
    from skelray.platform.runner import evaluate_run

    _, evaluation = evaluate_run(run if run.exists() else paths.runs() / run, overrides or [])
    typer.echo(table(evaluation))


@app.command("prepare")
def prepare_command(
    dataset: Annotated[str, typer.Argument(help="A data set; see `skelray list`.")],
    raw: Annotated[Path | None, typer.Option(help="Folder of the recordings.")] = None,
    size: Annotated[str, typer.Option(help="Size of a generated data set.")] = "",
    fresh: Annotated[bool, typer.Option("--fresh", help="Prepare again from the start.")] = False,
    debug: Debug = False,
) -> None:
    """Reads raw recordings into a store that every method trains on."""
    from skelray.platform.runner import prepare_dataset

    store = prepare_dataset(dataset, raw, size=size, fresh=fresh)
    skipped = store.manifest["skipped"]
    typer.echo(f"{store.manifest['samples']} recordings in {store.path}")
    for name, reason in list(skipped.items())[:10]:
        typer.echo(f"skipped {name}: {reason}")
    if skipped:
        typer.echo(f"{len(skipped)} skipped in all; reasons in {store.path / 'manifest.json'}")


@app.command("list")
def list_command(debug: Debug = False) -> None:
    """Names the methods with their experiments, and the data sets with their protocols."""
    files = registry.experiment_files()
    for name in registry.method_names():
        experiments = sorted(experiment for method, experiment in files if method == name)
        presets = ", ".join(["published", *registry.load_method(name).PRESETS])
        typer.echo(f"method {name}: {', '.join(experiments)} (presets {presets})")
    for name in registry.dataset_names():
        dataset = registry.load_dataset(name)
        protocols = ", ".join(protocol.name for protocol in dataset.protocols)
        typer.echo(f"data set {name}: {protocols}; {len(dataset.classes)} classes")


def _split(arguments: list[str]) -> tuple[str, list[str]]:
    """The experiment, if one is named, and the overrides."""
    if arguments and "=" not in arguments[0]:
        return arguments[0], arguments[1:]
    return "synthetic", arguments


def main(arguments: list[str] | None = None) -> None:
    """Entry point: one clear line for an error the user can act on, exit status 1 or 2."""
    arguments = sys.argv[1:] if arguments is None else arguments
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    # a preempted or cancelled job ends like one that is interrupted: with its status set
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        status = app(arguments, standalone_mode=False)
    except SkelrayError as error:
        if "--debug" in arguments:
            raise
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_status)
    except TyperException as error:  # the command line itself does not fit
        if message := error.format_message():  # none where the help has been printed
            typer.echo(f"error: {message.rstrip('.')}: see --help", err=True)
        sys.exit(error.exit_code)
    if status:  # 130, on Ctrl-C
        typer.echo("interrupted: the same command goes on where it stopped", err=True)
        sys.exit(status)
