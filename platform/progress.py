"""Progress bars on long work: one look everywhere, silent where nobody watches."""

from __future__ import annotations

import sys
from typing import Any

from tqdm.auto import tqdm


def progress_bar(what: str, total: int, unit: str) -> Any:
    """A tqdm bar on standard error; where that is no terminal (a log), a line every 30 seconds."""
    watched = sys.stderr.isatty()
    return tqdm(
        total=total,
        desc=what,
        unit=f" {unit}",
        mininterval=0.2 if watched else 30.0,
        dynamic_ncols=watched,
        leave=True,
    )
