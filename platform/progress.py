"""Progress bars on long work: one look everywhere, silent where nobody watches."""

from __future__ import annotations

import sys
from typing import Any

from tqdm.auto import tqdm


class _Lines:
    """Standard error as a log has it: each state of a bar on a line of its own."""

    def write(self, text: str) -> None:
        """Takes what tqdm writes: a state between carriage returns and blanks."""
        if line := text.strip("\r\n "):
            sys.stderr.write(f"{line}\n")

    def flush(self) -> None:
        """Passes it on."""
        sys.stderr.flush()


def progress_bar(what: str, total: int | None, unit: str, **settings: Any) -> Any:
    """A tqdm bar on standard error; where that is no terminal (a log), a line every 30 seconds."""
    watched = sys.stderr.isatty()
    return tqdm(
        total=total,
        desc=what,
        unit=f" {unit}",
        mininterval=0.2 if watched else 30.0,
        dynamic_ncols=watched,
        leave=True,
        file=None if watched else _Lines(),
        **settings,
    )
