"""The command line's frame: what the modules of commands share, and how errors end it."""

from __future__ import annotations

import logging
import signal
import sys
from typing import Annotated

import typer
from typer.exceptions import TyperException

from skelray.platform.errors import SkelrayError, first_cause, in_one_line

app = typer.Typer(
    help="Self-supervised learning on skeleton and RGB video: pretrain, evaluate, compare.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Size = Annotated[str, typer.Option(help="Size of a generated data set.")]


def main(arguments: list[str] | None = None) -> None:
    """Entry point: one clear line for an error the user can act on, exit status 1 or 2."""
    arguments = sys.argv[1:] if arguments is None else arguments
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    # a preempted or cancelled job ends like one that is interrupted: with its status set
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        status = app(arguments, standalone_mode=False)
    except TyperException as error:  # the command line itself does not fit
        if message := error.format_message():  # none where the help has been printed
            typer.echo(f"error: {message.rstrip('.')}: see --help", err=True)
        sys.exit(error.exit_code)
    except Exception as error:
        if "--debug" in arguments:
            raise
        cause = first_cause(error)
        known = isinstance(cause, SkelrayError)
        said = str(cause) if known else f"{in_one_line(cause)}; --debug shows where"
        typer.echo(f"error: {said}", err=True)
        sys.exit(cause.exit_status if isinstance(cause, SkelrayError) else 1)
    if status:  # 130, on Ctrl-C
        typer.echo("interrupted: the same command goes on where it stopped", err=True)
        sys.exit(status)
