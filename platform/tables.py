"""Tables in plain text, which read the same in a terminal, a pipe and a web page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence


def aligned(table: Iterable[Sequence[str]]) -> Iterator[str]:
    """Lines of a table whose first row is its header; the first column is aligned to the left."""
    rows = list(table)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for number, (label, *cells) in enumerate(rows):
        right = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        yield "  ".join([label.ljust(widths[0]), *right])
        if number == 0:
            yield "  ".join("-" * width for width in widths)


def size_text(size: int) -> str:
    """A number of bytes as people read it: `512 B`, `3.4 MiB`."""
    value, units = float(size), ["B", "KiB", "MiB", "GiB", "TiB"]
    while value >= 1024 and len(units) > 1:
        value /= 1024
        units.pop(0)
    return f"{value:.0f} B" if units[0] == "B" else f"{value:.1f} {units[0]}"
