"""Pickles as data: NumPy arrays and plain containers, whatever else a file asks for.

A pickle is a program. Only the instructions that build dicts, lists, tuples, numbers, texts and
arrays are carried out here; nothing of the pickle's choice is imported or called, and NumPy's own
unpickling, which believes what it is told, is not reached either.

The file is mapped into memory, and an array's content stays there until it is asked for. So a
length that is only claimed allocates nothing, a process needs memory for the file's objects but not
for its numbers, and the processes of a machine that read the same file share its pages.
"""

from __future__ import annotations

import math
import mmap
import os
import pickle
import pickletools
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn

import numpy as np

from skelray.platform.errors import DataError

_LONG = 256  # bytes: longer texts and byte strings are left in the file, for arrays to read
_DTYPE = re.compile(r"b1|[iu][1248]|f[248]|c8|c16|[SU][1-9][0-9]{0,2}")


def load_pickle(path: Path) -> Any:
    """What a pickle file holds: dicts, lists, tuples, numbers, texts, and `PickledArray`s.

    Files of any protocol and of Python 2 are read. Sets, other objects, and arrays of objects are
    refused; a byte string or text of more than 256 bytes is good as an array's content only.

    Raises:
        DataError: one line that names the file, for whatever is wrong with it.
    """
    try:
        return _Unpickler(_map(path)).load()
    except _Refused as error:
        reason = f"{error}: refused; only NumPy arrays and plain containers are read"
    except (EOFError, struct.error):
        reason = "the pickle ends too early"
    except OSError as error:
        reason = f"cannot be read ({error.strerror})"
    except MemoryError:
        reason = "does not fit into memory"
    # the machine that carries out a damaged pickle fails in any way there is
    except Exception as error:
        reason = f"not a pickle, or a damaged one ({type(error).__name__}: {_shown(error)})"
    raise DataError(f"{path}: {reason}")


@dataclass(slots=True)
class PickledArray:
    """An array of a pickle; its content is read from the file by `read`."""

    content: Any = b""
    dtype: np.dtype[Any] = field(default_factory=lambda: np.dtype(np.uint8))
    shape: tuple[int, ...] = (0,)
    order: Literal["C", "F"] = "C"
    axes: tuple[int, ...] | None = None  # the transposition that follows

    def read(self) -> np.ndarray:
        """The array, read-only; DataError, without a file's name, where its content does not fit.

        It lies in the file's pages where the pickle has the bytes as they are (protocols 3 to 5).
        """
        try:
            content = _bytes_of(self.content)
            if len(content) == math.prod(self.shape) * self.dtype.itemsize:
                array = np.frombuffer(content, self.dtype).reshape(self.shape, order=self.order)
                return array if self.axes is None else array.transpose(self.axes)
        except (TypeError, ValueError) as error:
            raise DataError(f"an array cannot be read ({_shown(error)})") from None
        raise DataError(
            f"an array of shape {_shown(self.shape)} and type {self.dtype} has a content of "
            f"{len(content)} bytes"
        )

    def build(self, state: Any) -> None:
        """Takes over the state that `numpy.ndarray.__reduce__` describes."""
        _, shape, dtype, fortran, content = state
        self.shape, self.dtype, self.content = _shape(shape), dtype.value, content
        self.order = "F" if fortran else "C"


class _Refused(Exception):
    """The pickle asks for something that it does not get."""


@dataclass(slots=True)
class _DType:
    """The type of an array's numbers while it is put together."""

    value: np.dtype[Any]

    def build(self, state: Any) -> None:
        """Takes over the byte order of the state that `numpy.dtype.__reduce__` describes."""
        if state[1] in ("<", ">"):
            self.value = self.value.newbyteorder(state[1])


@dataclass(frozen=True, slots=True)
class _LongText:
    """A text left in the file, UTF-8."""

    content: memoryview


@dataclass(frozen=True, slots=True)
class _Latin1:
    """Bytes as protocols 0 to 2 have them: a text with one character for each byte."""

    text: str | _LongText


def _bytes_of(content: Any) -> bytes | memoryview:
    """An array's content; a text where Python 2 wrote it, or where the protocol has no bytes."""
    match content:
        case _Latin1(text):
            return _bytes_of(text)
        case _LongText(encoded):
            return str(encoded, "utf-8").encode("latin1")
        case str():
            return content.encode("latin1")
        case bytes() | memoryview():
            return content
    raise TypeError(f"its content is of type {type(content).__name__}")


def _shape(shape: Sequence[Any]) -> tuple[int, ...]:
    if len(shape) > 32 or not all(type(size) is int and 0 <= size < 2**63 for size in shape):
        raise ValueError("an array has no shape")
    return tuple(shape)


def _dtype(name: Any, *_: Any) -> _DType:
    if not isinstance(name, str) or not _DTYPE.fullmatch(name):
        raise _Refused(f"the pickle holds an array of type {_shown(name)}")
    return _DType(np.dtype(name))


def _reconstruct(*_: Any) -> PickledArray:
    """The empty array that `PickledArray.build` completes."""
    return PickledArray()


def _frombuffer(
    content: Any, dtype: _DType, shape: Any, order: Any, axes: Any = None
) -> PickledArray:
    array = PickledArray(content, dtype.value, _shape(shape), "F" if order == "F" else "C")
    if order == "K":
        array.axes = _shape(axes)
    return array


def _scalar(dtype: _DType, content: Any) -> Any:
    data = _bytes_of(content)
    if len(data) > _LONG:
        raise _Refused("the pickle holds a single value of more than 256 bytes")
    (value,) = np.frombuffer(data, dtype.value)
    return value


def _encode(text: Any, encoding: Any) -> bytes | _Latin1:
    if encoding != "latin1" or not isinstance(text, (str, _LongText)):
        raise _Refused("the pickle encodes something else than bytes")
    if isinstance(text, str) and len(text) < _LONG:
        return text.encode("latin1")
    return _Latin1(text)


# What stands in for the names that a pickle of arrays uses. NumPy 1 says core, NumPy 2 _core.
_NAMES: Mapping[str, Any] = {
    "numpy.ndarray": None,  # an argument of _reconstruct, never called
    "numpy.dtype": _dtype,
    "numpy._core.multiarray._reconstruct": _reconstruct,
    "numpy._core.multiarray.scalar": _scalar,
    "numpy._core.numeric._frombuffer": _frombuffer,
    "_codecs.encode": _encode,
    "__builtin__.bytes": lambda: b"",  # no bytes at all, in protocols 0 to 2
    "collections.OrderedDict": lambda: {},
}
_Load = Callable[[Any], None]
_INSTRUCTIONS = {known.name: ord(known.code) for known in pickletools.opcodes}


class _Instructions(dict[int, _Load]):
    """What is done for each instruction; there is no such thing for any other."""

    def __missing__(self, code: int) -> NoReturn:
        if code in _INSTRUCTIONS.values():
            name = next(name for name, known in _INSTRUCTIONS.items() if known == code)
            raise _Refused(f"the pickle makes an object (instruction {name})")
        raise ValueError(f"no instruction has the code {code}")


def _load_bytes(form: str) -> _Load:
    return lambda machine: machine.append(machine.take(machine.length(form)))


def _load_text(form: str, encoding: str) -> _Load:
    def load(machine: Any) -> None:
        data = machine.take(machine.length(form))
        machine.append(str(data, encoding) if isinstance(data, bytes) else _LongText(data))

    return load


def _load_binstring(machine: Any) -> None:
    """Bytes or a text of Python 2; as a text, so that keys and ids are texts."""
    data = machine.take(machine.length("<I"))
    machine.append(data.decode("latin1") if isinstance(data, bytes) else data)


def _set(target: Any, items: Sequence[Any]) -> None:
    """Fills a dict with plain keys: to hash a million tuples in each other ends the process."""
    if type(target) is not dict:
        raise TypeError(f"items for a {type(target).__name__}")
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, (str, int, float, bytes, type(None))):
            raise _Refused(f"the pickle holds a dict with a key of type {type(key).__name__}")
        target[key] = value


def _load_dict(machine: Any) -> None:
    items = machine.pop_mark()
    machine.append({})
    _set(machine.stack[-1], items)


def _load_setitem(machine: Any) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    _set(machine.stack[-1], (key, value))


def _load_setitems(machine: Any) -> None:
    items = machine.pop_mark()
    _set(machine.stack[-1], items)


def _load_build(machine: Any) -> None:
    state, target = machine.stack.pop(), machine.stack[-1]
    if not isinstance(target, (PickledArray, _DType)):
        raise _Refused(f"the pickle sets the state of a {type(target).__name__}")
    target.build(state)


_STANDARD = (
    "PROTO STOP MARK POP POP_MARK DUP GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT MEMOIZE "
    "NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT "
    "STRING SHORT_BINSTRING UNICODE SHORT_BINUNICODE SHORT_BINBYTES "
    "EMPTY_LIST LIST APPEND APPENDS EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_DICT "
    "GLOBAL STACK_GLOBAL REDUCE"
)
_OURS: Mapping[str, _Load] = {
    "FRAME": lambda machine: machine.length("<Q"),  # a hint for buffers; the file is in memory
    "BINBYTES": _load_bytes("<I"),
    "BINBYTES8": _load_bytes("<Q"),
    "BYTEARRAY8": _load_bytes("<Q"),
    "BINSTRING": _load_binstring,
    "BINUNICODE": _load_text("<I", "utf-8"),
    "BINUNICODE8": _load_text("<Q", "utf-8"),
    "DICT": _load_dict,
    "SETITEM": _load_setitem,
    "SETITEMS": _load_setitems,
    "BUILD": _load_build,
}


class _Unpickler(pickle._Unpickler):
    """The standard library's machine in Python, with the instructions that are admitted.

    The fast one in C cannot be used: it has no table of instructions to choose from, makes room for
    any length that is claimed, and calls what it is told to for objects.
    """

    dispatch = _Instructions(
        {_INSTRUCTIONS[n]: pickle._Unpickler.dispatch[_INSTRUCTIONS[n]] for n in _STANDARD.split()}
        | {_INSTRUCTIONS[name]: load for name, load in _OURS.items()}
    )

    def __init__(self, content: mmap.mmap) -> None:
        super().__init__(content, encoding="latin1")  # as NumPy wants texts of Python 2 decoded
        self.content = content

    def find_class(self, module: str, name: str) -> Any:
        """What stands in for a name; _Refused where nothing does."""
        wanted = f"{module}.{name}"
        modern = wanted.replace("numpy.core.", "numpy._core.", 1)
        if modern not in _NAMES:
            raise _Refused(f"the pickle wants to call {_shown(wanted)}")
        return _NAMES[modern]

    def take(self, length: int) -> bytes | memoryview:
        """The next bytes: as they are if they are few, else a view of the file."""
        start = self.content.tell()
        if length > len(self.content) - start:
            raise EOFError
        if length < _LONG:
            return self.content.read(length)
        self.content.seek(length, os.SEEK_CUR)
        return memoryview(self.content)[start : start + length]

    def length(self, form: str) -> int:
        """The next number, as `struct` names it."""
        (number,) = struct.unpack(form, self.content.read(struct.calcsize(form)))
        return int(number)


def _map(path: Path) -> mmap.mmap:
    if not path.is_file():
        raise FileNotFoundError(0, "no such file" if not path.exists() else "not a regular file")
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            raise EOFError
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _shown(value: object) -> str:
    """Text of the file's choice for a message: one line, shortened, other characters escaped."""
    text = str(value)[:100].encode("unicode_escape").decode()
    return text if len(text) <= 80 else f"{text[:77]}..."
