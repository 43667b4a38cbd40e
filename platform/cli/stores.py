"""Commands on data sets: prepare, describe, check, new-dataset, clean, write-annotations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from skelray.platform import paths, registry
from skelray.platform.cli.app import Debug, Size, app
from skelray.platform.errors import DataError, UsageError
from skelray.platform.tables import size_text

Prepared = Annotated[str, typer.Argument(help="A prepared data set; see `skelray list`.")]


@app.command("prepare")
def prepare_command(
    dataset: Annotated[str, typer.Argument(help="A data set; see `skelray list`.")],
    raw: Annotated[Path | None, typer.Option(help="Folder of the recordings.")] = None,
    size: Size = "",
    clips: Annotated[
        str, typer.Option(help="Make RGB clips too: person-256, whole-540 or other sizes.")
    ] = "",
    videos: Annotated[
        Path | None, typer.Option(help="Folder of the videos, ID.mp4 or ID_rgb.avi.")
    ] = None,
    boxes: Annotated[
        Path | None, typer.Option(help="Cut clips by these boxes instead of joints, FILE.parquet.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Prepare again from the start.")] = False,
    debug: Debug = False,
) -> None:
    """Reads raw recordings into a store that every method trains on."""
    from skelray.platform.data.clips import ClipKind
    from skelray.platform.data.source import store_path
    from skelray.platform.data.store import MANIFEST, Store
    from skelray.platform.data.summary import clips_line, lacking_lines, skipped_lines
    from skelray.platform.preparation import prepare_clips, prepare_dataset
    from skelray.platform.video.required import require_video

    if (videos or boxes) and not clips:
        raise UsageError(
            "--videos and --boxes are for --clips: name their kind, such as --clips person-256"
        )
    if clips:
        ClipKind.parse(clips)
        require_video()
    kind = registry.load_dataset(dataset)
    path = store_path(kind, size)
    there = (path / MANIFEST).exists() and not fresh
    if clips and raw is None and (path / MANIFEST).exists():  # only the clips are asked for
        store = Store.open(path, kind)
    else:
        store = prepare_dataset(dataset, raw, size=size, fresh=fresh)
    typer.echo(f"{store.manifest['samples']} recordings in {store.path}")
    if there:
        source = store.manifest["source"]
        typer.echo(f"prepared before, from {source}: --fresh reads files and class as they are now")
    for line in skipped_lines(store.manifest["skipped"], store.path):
        typer.echo(line)
    if clips:
        made = prepare_clips(dataset, clips, videos, boxes, size=size, fresh=fresh)
        typer.echo(clips_line(made))
        for line in lacking_lines(made):
            typer.echo(line)


@app.command("describe")
def describe_command(
    dataset: Prepared,
    size: Size = "",
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
    if not kind.joints:
        typer.echo("\nno page: nobody in it has joints to be drawn")
        return
    page = html or paths.home() / "pages" / f"{store.path.name}.html"
    write_page(page, description, text, seed=seed)
    typer.echo(f"\nanimated recordings, to be opened in a browser: {page}")


@app.command("check")
def check_command(
    dataset: Annotated[str, typer.Argument(help="A data set; see `skelray list`.")],
    raw: Annotated[Path | None, typer.Option(help="Folder or archive of the recordings.")] = None,
    size: Size = "",
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
    dataset: Annotated[str, typer.Argument(help="Only what is of this data set.")] = "",
    clips: Annotated[
        bool, typer.Option("--clips", help="RGB clips too; prepare makes them again of the videos.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Remove without asking.")] = False,
    debug: Debug = False,
) -> None:
    """Removes caches and what was left unfinished a day ago, clips if asked; no stores, no runs."""
    from skelray.platform.data import inventory

    if dataset:
        registry.load_dataset(dataset)
    entries = inventory.removable(dataset, with_clips=clips)
    for line in inventory.lines(entries):
        typer.echo(line)
    for line in inventory.lines(inventory.recent(dataset, with_clips=clips)):
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
    dataset: Prepared,
    file: Annotated[Path, typer.Argument(help="The file to write, FILE.pkl.")],
    protocol: Annotated[
        list[str] | None, typer.Option(help="A split to write; may be repeated (default: all).")
    ] = None,
    size: Size = "",
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
