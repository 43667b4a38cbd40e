"""Lines of decimal numbers, read as columns by Arrow; and which part of a line is no such number.

Arrow's CSV reader takes exactly the numbers of this module's grammar as long as the text holds only
the bytes these are made of. It rounds once, so that a float32 is the nearest one there is; by way
of a float64 some would not be.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.csv

_NUMBER = re.compile(
    rb"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-]?[0-9]+)?|[+-]?(?:nan|inf|infinity)",
    re.IGNORECASE,
)
_TOKEN = re.compile(rb"[^ \t]+|^$")
_BYTES = b"0123456789+-.eE" + b"nNaAiIfFtTyY" + b" \r\n"  # nan, inf, infinity in any case


def read_columns(text: bytes, types: Sequence[pa.DataType]) -> list[np.ndarray] | None:
    """The numbers of `text` column by column, a row per line and a type per column.

    Every line ends in LF or CRLF; blanks around the numbers are free. None where a line does not
    hold that many numbers or a number is not of its type; `number_fault` finds the line.
    """
    columns = _read_csv(text, types)
    if columns is None and text.count(b"\r") == text.count(b"\r\n"):
        return _read_csv(_single_spaced(text), types)
    return columns


def number_fault(line: bytes, columns: int) -> str | None:
    """Why a line is not that many numbers, None where it is."""
    found = 0
    for token in _TOKEN.finditer(line.strip(b" \t")):
        found += 1
        if not _NUMBER.fullmatch(token[0]):
            return f"expected {columns} numbers, found {shown(token[0])}"
    return None if found == columns else f"expected {columns} numbers, found {found}"


def shown(text: bytes) -> str:
    """A piece of a file for a message: one line, shortened, control characters escaped."""
    piece = repr(text[:61].decode("ascii"))
    return piece if len(piece) <= 62 else f"{piece[:58]}...'"


def _read_csv(text: bytes, types: Sequence[pa.DataType]) -> list[np.ndarray] | None:
    """Reads numbers with one space between; None where the text is anything else."""
    if text.translate(None, _BYTES):
        return None
    names = [str(column) for column in range(len(types))]
    try:
        table = pyarrow.csv.read_csv(
            pa.BufferReader(text),
            read_options=pyarrow.csv.ReadOptions(use_threads=False, column_names=names),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=" ", quote_char=False, ignore_empty_lines=False
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                check_utf8=False,
                column_types=dict(zip(names, types, strict=True)),
                null_values=[],  # "nan" is a number here
            ),
        )
    except pa.ArrowInvalid:  # its message knows no line of the file
        return None
    if table.num_rows != text.count(b"\n"):  # a CR inside a line begins a row, too
        return None
    return [column.to_numpy() for column in table.columns]


def _single_spaced(text: bytes) -> bytes:
    """The text with one space between numbers and none at a line's ends."""
    text = text.replace(b"\r\n", b"\n").replace(b"\t", b" ")
    while b"  " in text:
        text = text.replace(b"  ", b" ")
    return text.replace(b" \n", b"\n").replace(b"\n ", b"\n").lstrip(b" ")
