"""Arrays from the bytes of `.npy`, `.npz` and `.json` files that strangers wrote.

Nothing is unpickled, and no memory is taken for what a header merely claims.
"""

from __future__ import annotations

import io
import json
import math
import warnings
import zipfile
from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np

from skelray.platform.errors import DataError
from skelray.platform.raw import LARGEST, UNREADABLE

NAMES = ("xyz", "keypoints")  # of the coordinates where a file names its arrays
SCORE = "score"

_LARGEST_JSON = 2**26  # bytes: Python's lists take some 20 times as much memory
_ENDING = ".npy"  # of the members of an .npz file


class Arrays(NamedTuple):
    """The coordinates of a recording, and its joints' scores where they are an array of their own.

    Shapes are those of the file.
    """

    values: np.ndarray
    score: np.ndarray | None = None


def read_npy(content: bytes, where: str) -> Arrays:
    """A file of `numpy.save`; DataError where it is another thing or does not hold its array."""
    return Arrays(_array(content, where))


def read_npz(content: bytes, where: str) -> Arrays:
    """A file of `numpy.savez`: its array `xyz` or `keypoints`, or the only one; maybe `score`."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = [n.removesuffix(_ENDING) for n in archive.namelist() if n.endswith(_ENDING)]
            chosen = _choose(names, where)
            values = _member(archive, chosen, where)
            score = _member(archive, SCORE, where) if SCORE in names else None
    except UNREADABLE as error:
        raise DataError(f"{where}: not a readable .npz file ({str(error)[:200]})") from None
    return Arrays(values, score)


def read_json(content: bytes, where: str) -> Arrays:
    """Nested lists, or an object that holds them as `xyz` or `keypoints`, and maybe `score`.

    `null` is a coordinate that is unknown.
    """
    if len(content) > _LARGEST_JSON:
        raise DataError(f"{where}: larger than {_LARGEST_JSON} bytes: save it as .npy")
    try:
        tree = json.loads(content)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}, line {error.lineno}: not valid JSON, {error.msg}") from None
    except (ValueError, RecursionError):  # no UTF-8, numbers of thousands of digits, deep nesting
        raise DataError(f"{where}: not a JSON text of numbers in lists") from None
    if not isinstance(tree, dict):
        return Arrays(_nested(tree, where))
    values = _nested(tree[_choose(tree, where)], where)
    return Arrays(values, _nested(tree[SCORE], where) if SCORE in tree else None)


def _choose(names: Collection[str], where: str) -> str:
    """The name of the coordinates among `names`."""
    others = [name for name in names if name != SCORE]
    for name in (*NAMES, *(others if len(others) == 1 else ())):
        if name in names:
            return name
    found = ", ".join(sorted(map(repr, others))[:10]) or "none"
    raise DataError(f"{where}: expected an array named {' or '.join(NAMES)}, found {found}")


def _member(archive: zipfile.ZipFile, name: str, where: str) -> np.ndarray:
    with archive.open(f"{name}{_ENDING}") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise DataError(f"{where}: array {name!r} is larger than {LARGEST} bytes")
    return _array(content, f"{where}, array {name!r}")


def _array(content: bytes, where: str) -> np.ndarray:
    """The array of an .npy file's bytes, as a view on them."""
    file = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(file)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of files that Python 2 wrote; they are read as well
            shape, by_column, kind = read_header(file)
    except Exception:  # the header is a Python literal: a stranger's fails in any way
        raise DataError(f"{where}: not an array of numpy.save") from None
    if kind.hasobject or kind.kind not in "iuf":
        raise DataError(f"{where}: holds {kind} values, expected numbers")
    claimed, there = math.prod(shape) * kind.itemsize, len(content) - file.tell()
    if min(shape, default=0) < 0 or claimed != there:
        raise DataError(f"{where}: an array {shape} of {kind} has {claimed} bytes, found {there}")
    flat = np.frombuffer(content, dtype=kind, offset=file.tell())
    return flat.reshape(shape, order="F" if by_column else "C")


def _nested(tree: Any, where: str) -> np.ndarray:
    """Lists of lists of numbers and nulls as an array."""
    try:
        array = np.array(tree)
        if array.dtype.kind == "O":  # nulls; numbers that no integer type holds
            array = np.array(tree, dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        raise DataError(
            f"{where}: expected numbers in lists of equal lengths (T, persons, joints, coordinates)"
        ) from None
    return array
