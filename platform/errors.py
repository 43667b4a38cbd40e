"""The errors a user sees: one line that says what is wrong, where, and what to do."""

from __future__ import annotations

import traceback
from pathlib import Path


class SkelrayError(Exception):
    """A failure the user can act on; printed as one line without a traceback."""

    exit_status = 1


class UsageError(SkelrayError):
    """The command line or a configuration is wrong: nothing was started."""

    exit_status = 2


class DataError(SkelrayError):
    """A recording, store or cache is damaged, missing or of another kind."""


class CheckpointError(SkelrayError):
    """A checkpoint is damaged, missing or belongs to something else."""


def in_one_line(error: BaseException) -> str:
    """Kind, text and place of an error that nobody expected, such as one of a plugin."""
    text = " ".join(str(error).split())[:500]
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, SyntaxError) or not frames:  # its text names the place; sent by a worker
        return f"{type(error).__name__}: {text}"
    last = frames[-1]
    return f"{type(error).__name__}: {text} ({Path(last.filename).name}, line {last.lineno})"


def first_cause(error: BaseException) -> BaseException:
    """What an error is about: the SkelrayError it was raised from, else the innermost error.

    Ray wraps what a task or worker raised and names it `cause`; its own text is a traceback.
    """
    while not isinstance(error, SkelrayError) or hasattr(error, "cause"):
        inner = getattr(error, "cause", None) or error.__cause__
        if not isinstance(inner, BaseException):
            break
        error = inner
    return error
