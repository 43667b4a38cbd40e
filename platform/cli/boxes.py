"""The command `boxes`: person boxes of videos, for data without skeletons."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from skelray.platform.cli.app import Debug, app
from skelray.platform.errors import DataError


@app.command("boxes")
def boxes_command(
    folder: Annotated[Path, typer.Argument(help="A folder of videos, *.mp4 and *.avi.")],
    detector: Annotated[
        str, typer.Option(help="package.module:factory, see docs/person-boxes.md.")
    ],
    out: Annotated[Path, typer.Option(help="The file to write or to complete, FILE.parquet.")],
    published: Annotated[
        bool, typer.Option("--published", help="Choose boxes by SV-data2vec's rules to the letter.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Finds one person per frame in every video; what the file holds already stays."""
    from skelray.platform.clips.tracklets import AS_PUBLISHED, SOUND
    from skelray.platform.video.required import require_video

    require_video()
    from skelray.platform.video.boxes import make_boxes
    from skelray.platform.video.detection import load_detector
    from skelray.platform.video.found import find_videos

    videos = find_videos(folder)
    made = make_boxes(
        videos,
        lambda: load_detector(detector),
        out,
        rules=AS_PUBLISHED if published else SOUND,
        about={"detector": detector, "rules": "as published" if published else "sound"},
    )
    for reason in made.damaged.values():
        typer.echo(f"left out {reason}")
    if len(made.damaged) == len(videos):
        raise DataError(f"none of the {len(videos)} videos in {folder} can be read, see above")
    before = f", {made.before} were there before" if made.before else ""
    typer.echo(f"boxes of {made.new} videos added to {out}{before}")
