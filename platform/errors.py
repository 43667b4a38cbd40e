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


def in_one_line(error: Exception) -> str:
    """Kind, text and place of an error that nobody expected, such as one of a plugin."""
    *_, last = traceback.extract_tb(error.__traceback__)
    text = " ".join(str(error).split())
    if isinstance(error, SyntaxError):  # its text names the place, its traceback importlib's
        return f"SyntaxError: {text}"
    return f"{type(error).__name__}: {text} ({Path(last.filename).name}, line {last.lineno})"
