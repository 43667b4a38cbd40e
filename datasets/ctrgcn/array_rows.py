"""Arrays in npz files read row by row: a file of many gigabytes takes one row of memory."""

from __future__ import annotations

import math
import struct
import zipfile
import zlib
from pathlib import Path
from tokenize import TokenError

import numpy as np
from numpy.lib import format as npy

from skelray.platform.errors import DataError

MOST_ROWS = 1_000_000  # NTU RGB+D 120 has 63,026 in its largest array
LARGEST_ROW = 2**24  # bytes; 300 frames of two bodies take 180,000
_BLOCK = 2**20  # bytes
_DEFLATE = 1032  # times smaller than its content is a deflated member at most
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
# What zipfile raises. RuntimeError: encrypted, or of a later format; ValueError: a name in UTF-8.
_DAMAGED = (
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
)
# NumPy reads a header as Python's literals and lets some errors of Python's parser through.
_NO_HEADER = (
    KeyError,
    ValueError,
    TypeError,
    SyntaxError,
    TokenError,
    MemoryError,
    RecursionError,
)


class ArrayRows:
    """One array of an npz file; `shape` and `dtype` are the whole array's.

    What `numpy.savez` wrote is read where it lies. What `numpy.savez_compressed` wrote is
    decompressed on the way to the row, from the row before: rows asked for in ascending order cost
    one pass. The archive has one checksum for the whole array, which only `check` compares.

    Raises:
        DataError: where there is no such array or one of Python objects (pickles are never
            loaded), where it claims more than the file holds, and at a row that cannot be read.
    """

    def __init__(self, path: str, member: str) -> None:
        self.where = f"{path}: {member}"
        self._path, self._member = path, member
        try:
            archive = zipfile.ZipFile(path)
            about = archive.getinfo(member)
            self._offset = _offset_of_stored(path, about)
            self._stream = archive.open(about)
            self.shape, self.dtype = self._header()
            self._first = self._stream.tell()
        except KeyError:
            raise DataError(f"{self.where}: there is no such array") from None
        except _DAMAGED as error:
            raise DataError(f"{self.where}: cannot be read ({error})") from None
        self._row_bytes = math.prod(self.shape[1:]) * self.dtype.itemsize
        self._check_size(about.file_size - self._first)

    def __len__(self) -> int:
        return self.shape[0]

    def row(self, number: int) -> np.ndarray:
        """One row (0-based), read-only."""
        where = f"{self.where}, row {number}"
        if not 0 <= number < len(self):
            raise DataError(f"{where}: there are {len(self)} rows")
        try:
            content = self._read(self._first + number * self._row_bytes)
        except _DAMAGED as error:
            raise DataError(f"{where}: cannot be read ({error})") from None
        if len(content) < self._row_bytes:
            raise DataError(f"{where}: the file ends too early")
        return np.frombuffer(content, self.dtype).reshape(self.shape[1:])

    def check(self) -> None:
        """Reads everything, a block at a time; DataError where the checksum is another."""
        try:
            with zipfile.ZipFile(self._path) as archive, archive.open(self._member) as stream:
                while stream.read(_BLOCK):
                    pass
        except _DAMAGED as error:
            raise DataError(f"{self.where}: damaged ({error})") from None

    def _read(self, place: int) -> bytes:
        """A row's bytes from `place` in the member's content on; fewer where it ends there."""
        if self._offset is None:
            reached = self._stream.seek(place)
            return self._stream.read(self._row_bytes) if reached == place else b""
        with Path(self._path).open("rb") as file:
            file.seek(self._offset + place)
            return file.read(self._row_bytes)

    def _header(self) -> tuple[tuple[int, ...], np.dtype]:
        try:
            read_header = _HEADERS[npy.read_magic(self._stream)]
            shape, fortran_order, dtype = read_header(self._stream)
        except _NO_HEADER:
            raise DataError(f"{self.where}: not an array as numpy.savez writes it") from None
        if dtype.hasobject:
            raise DataError(f"{self.where}: holds Python objects, which are not loaded")
        if fortran_order and len(shape) > 1:
            raise DataError(f"{self.where}: its rows do not lie one after another (Fortran order)")
        if not shape or min(shape) < 1:
            raise DataError(f"{self.where}: is empty, its shape is {shape}")
        return shape, dtype

    def _check_size(self, held: int) -> None:
        claimed = f"{self.where}: claims {self.dtype} of shape {self.shape}"
        rows = self.shape[0]
        if rows * self._row_bytes != held:
            raise DataError(f"{claimed}, but holds {held} bytes")
        if rows > MOST_ROWS or self._row_bytes > LARGEST_ROW:
            raise DataError(f"{claimed}, more than {MOST_ROWS} rows of {LARGEST_ROW} bytes")


def _offset_of_stored(path: str, about: zipfile.ZipInfo) -> int | None:
    """Where a stored member's content begins in the archive; None for a compressed one."""
    whole = about.header_offset + about.compress_size <= Path(path).stat().st_size
    if not whole or about.file_size > _DEFLATE * about.compress_size:
        raise zipfile.BadZipFile("it claims more than the file can hold")
    if about.compress_type == zipfile.ZIP_DEFLATED:
        return None
    if about.compress_type != zipfile.ZIP_STORED:
        raise zipfile.BadZipFile("neither stored nor deflated")
    with Path(path).open("rb") as file:
        file.seek(about.header_offset + 26)
        name, extra = struct.unpack("<HH", file.read(4))  # lengths of what follows
        return file.tell() + int(name) + int(extra)
