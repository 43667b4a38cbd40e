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
from skelray.platform.errors import DataError, SkelrayError, UsageError
from skelray.platform.tables import size_text

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
    """Names the methods with their experiments, the data sets, what is prepared and how large."""
    from skelray.platform.data import inventory

    files = registry.experiment_files()
    for name in registry.method_names():
        experiments = sorted(experiment for method, experiment in files if method == name)
        presets = ", ".join(["published", *registry.load_method(name).PRESETS])
        typer.echo(f"method {name}: {', '.join(experiments)} (presets {presets})")
    for name in registry.dataset_names():
        dataset = registry.load_dataset(name)
        protocols = ", ".join(protocol.name for protocol in dataset.protocols)
        typer.echo(f"data set {name}: {protocols}; {len(dataset.classes)} classes")
        for line in inventory.store_lines(dataset):
            typer.echo(line)
    for line in inventory.other_lines(registry.dataset_names()):
        typer.echo(line)


@app.command("describe")
def describe_command(
    dataset: Annotated[str, typer.Argument(help="A prepared data set; see `skelray list`.")],
    size: Annotated[str, typer.Option(help="Size of a generated data set.")] = "",
    protocol: Annotated[str, typer.Option(help="Count the parts of this split only.")] = "",
    html: Annotated[Path | None, typer.Option(help="Where to write the page.")] = None,
    seed: Annotated[int, typer.Option(help="Another seed shows other recordings.")] = 0,
    debug: Debug = False,
) -> None:
    """Counts what a prepared data set holds and shows a few recordings on a web page."""
    from skelray.platform.data import inventory
    from skelray.platform.data.animation import write_page
    from skelray.platform.data.describe import describe, protocols
    from skelray.platform.data.summary import summary

    kind = registry.load_dataset(dataset)
    store = inventory.find_store(kind, size)
    splits = protocols(kind, store, protocol)
    description = describe(kind, store)
    text = summary(description, splits)
    typer.echo(text)
    page = html or paths.home() / "pages" / f"{store.path.name}.html"
    write_page(page, description, text, seed=seed)
    typer.echo(f"\nanimated recordings, to be opened in a browser: {page}")


@app.command("check")
def check_command(
    dataset: Annotated[str, typer.Argument(help="A data set; see `skelray list`.")],
    raw: Annotated[Path | None, typer.Option(help="Folder or archive of the recordings.")] = None,
    size: Annotated[str, typer.Option(help="Size of a generated data set.")] = "",
    limit: Annotated[int, typer.Option(min=0, help="Check only so many recordings.")] = 0,
    debug: Debug = False,
) -> None:
    """Says what is wrong with a data set: its raw recordings, or without --raw its store."""
    from skelray.platform.validation.command import check

    findings = check(dataset, raw, size=size, limit=limit)
    for line in findings.lines():
        typer.echo(line)
    if errors := findings.count("error"):
        raise DataError(f"{errors:,} errors in data set {dataset}, see above")
    typer.echo(f"{dataset}: no errors, {findings.count('warning'):,} warnings")


@app.command("new-dataset")
def new_dataset_command(
    name: Annotated[str, typer.Argument(help="Its name: lower-case letters, digits and _.")],
    skeleton: Annotated[str, typer.Option(help="The skeleton of its recordings.")] = "kinect_v2",
    into: Annotated[Path, typer.Option(help="A checkout of skelray, or any folder.")] = Path(),
    debug: Debug = False,
) -> None:
    """Writes a data set to start from: in a checkout of skelray, or as a package of its own."""
    from skelray.platform.template import new_dataset, next_steps

    typer.echo(next_steps(name, new_dataset(name, skeleton=skeleton, into=into), into))


@app.command("clean")
def clean_command(
    dataset: Annotated[str, typer.Argument(help="Only caches of this data set.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Remove without asking.")] = False,
    debug: Debug = False,
) -> None:
    """Removes caches and what was left unfinished a day ago; never stores nor runs."""
    from skelray.platform.data import inventory

    if dataset:
        registry.load_dataset(dataset)
    entries = inventory.removable(dataset)
    for line in inventory.lines(entries):
        typer.echo(line)
    for line in inventory.lines(inventory.recent(dataset)):
        typer.echo(f"stays, as it changed less than a day ago: {line}")
    if not entries:
        typer.echo(f"nothing to remove {f'of {dataset}' if dataset else f'in {paths.home()}'}")
        return
    size = size_text(sum(entry.size for entry in entries))
    if yes or _confirmed(f"Remove {size}? Runs under way that read it will stop."):
        for entry in entries:
            inventory.remove(entry)
        typer.echo(f"removed {size}")
    else:
        typer.echo("nothing was removed")


def _confirmed(question: str) -> bool:
    try:
        return typer.confirm(question)
    except typer.Abort:  # the end of the input
        raise UsageError("nothing was removed, as nobody answered: give --yes") from None


@app.command("write-annotations")
def write_annotations_command(
    dataset: Annotated[str, typer.Argument(help="A prepared data set; see `skelray list`.")],
    file: Annotated[Path, typer.Argument(help="The file to write, FILE.pkl.")],
    protocol: Annotated[
        list[str] | None, typer.Option(help="A split to write; may be repeated (default: all).")
    ] = None,
    size: Annotated[str, typer.Option(help="Size of a generated data set.")] = "",
    debug: Debug = False,
) -> None:
    """Writes a prepared data set as an annotation pickle for pyskl and mmaction2."""
    from skelray.platform.data import inventory
    from skelray.platform.data.annotations import write_annotations

    kind = registry.load_dataset(dataset)
    written = write_annotations(inventory.find_store(kind, size), kind, file, protocol or ())
    typer.echo(f"{written.annotations} annotations in {file}")
    for name, ids in written.split.items():
        typer.echo(f"  {name}: {len(ids)}")
    for reason in written.skipped.values():
        typer.echo(f"left out {reason}")


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
