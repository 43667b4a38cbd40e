"""The command line: `skelray VERB …`, and the same verbs as `python experiments/VERB.py …`."""

from skelray.platform.cli import boxes, comparison, runs, stores  # noqa: F401 - register their commands
from skelray.platform.cli.app import app, main

__all__ = ["app", "main"]
