"""Pickles as data: arrays and plain containers come back, nothing else is carried out."""

from __future__ import annotations

import builtins
import collections
import copyreg
import gzip
import os
import pickle
import pickletools
import random
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skelray.platform.errors import DataError
from skelray.platform.pickles import PickledArray, load_pickle

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
RANDOM = np.random.default_rng(0)
ARRAYS = {
    "float16": RANDOM.normal(size=(2, 30, 17, 2)).astype(np.float16),
    "float32 of few bytes": np.arange(6, dtype=np.float32).reshape(2, 3),
    "every byte": np.arange(65536, dtype=np.uint16),
    "big-endian": np.arange(1000, dtype=">i4"),
    "Fortran order": np.asfortranarray(RANDOM.normal(size=(40, 30))),
    "transposed": RANDOM.normal(size=(4, 30, 20)).transpose(1, 0, 2),
    "strided": np.arange(2000)[::3],
    "bool": RANDOM.random(500) > 0.5,
    "texts": np.array(["S001C001", "é", ""]),
    "empty": np.zeros((0, 5, 3), dtype=np.float32),
    "no dimensions": np.array(7.5),
}


def load(path: Path, content: bytes) -> Any:
    (path / "file.pkl").write_bytes(content)
    return load_pickle(path / "file.pkl")


def peak(function: Callable[[], Any]) -> tuple[Any, int]:
    """What a function returns, and the most bytes that Python and NumPy held meanwhile."""
    tracemalloc.start()
    try:
        return function(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def refusal(path: Path, content: bytes) -> str:
    """The one line that says why a file is not read."""
    with pytest.raises(DataError) as caught:
        load(path, content)
    message = str(caught.value)
    start = f"{path / 'file.pkl'}: "
    assert message.startswith(start) and "\n" not in message
    assert len(message) < len(start) + 250
    return message.removeprefix(start)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays_are_read_as_they_were(tmp_path: Path, kind: str, protocol: int) -> None:
    array = load(tmp_path, pickle.dumps({"keypoint": ARRAYS[kind]}, protocol))["keypoint"]
    assert isinstance(array, PickledArray)
    read = array.read()
    assert type(read) is np.ndarray and not read.flags.writeable
    assert (read.dtype, read.shape) == (ARRAYS[kind].dtype, ARRAYS[kind].shape)
    assert read.tobytes() == ARRAYS[kind].tobytes()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_plain_containers_are_read_as_they_were(tmp_path: Path, protocol: int) -> None:
    plain = {
        "text": "Ünïcode\n",
        "numbers": [0, -1, 255, 65536, 2**31, -(2**70), 1.5, True, None],
        "bytes": [b"", b"\x00\xff" * 20],
        "nested": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [{}, {1: {None: []}}]),
        "scalars": [np.float32(0.5), np.int64(-3), np.str_("S001"), np.bool_(True)],
        "ordered": collections.OrderedDict(b=1, a=2),
    }
    plain["itself"] = plain["numbers"]
    read = load(tmp_path, pickle.dumps(plain, protocol))
    assert read == plain and list(read["ordered"]) == ["b", "a"]
    assert [type(x) for x in read["scalars"]] == [type(x) for x in plain["scalars"]]
    assert read["itself"] is read["numbers"]


def test_a_list_that_holds_itself_in_a_tuple(tmp_path: Path) -> None:
    cycle: list[Any] = []
    cycle.append((cycle,))
    read = load(tmp_path, pickle.dumps(cycle))
    assert read[0][0] is read


def python2_string(content: bytes) -> bytes:
    if len(content) < 256:
        return b"U" + bytes([len(content)]) + content
    return b"T" + struct.pack("<i", len(content)) + content


def test_pickles_of_python_2(tmp_path: Path) -> None:
    """Written by hand as Python 2 and NumPy 1 do at protocol 2: bytes are the only strings."""
    array = np.arange(600, dtype="<f4").reshape(2, 300)
    content = (
        b"\x80\x02}(" + python2_string(b"frame_dir") + python2_string(b"caf\xe9")
        + python2_string(b"keypoint")
        + b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        + b"(K\x01K\x02M\x2c\x01\x86cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R"
        + b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        + python2_string(array.tobytes()) + b"tbu."
    )  # fmt: skip
    theirs = pickle.loads(content, encoding="latin1")
    ours = load(tmp_path, content)
    assert ours["frame_dir"] == theirs["frame_dir"] == "café"
    np.testing.assert_array_equal(ours["keypoint"].read(), array)
    np.testing.assert_array_equal(theirs["keypoint"], array)


class Calls:
    """Pickled as a call of `function`."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


class Plain:
    """An object without anything special."""


def hostile_objects(mark: Path, protocol: int) -> dict[str, Any]:
    write = f"open({str(mark)!r}, 'w')"
    inside = np.empty(2, dtype=object)
    inside[:] = Calls(os.system, f"touch {mark}"), 1
    record = np.zeros(2, dtype=[("x", "f4")])
    return {
        "os.system": (Calls(os.system, f"touch {mark}"), f"{os.name}.system: refused; only NumPy"),
        "eval": (Calls(eval, write), "wants to call builtins.eval"),
        "getattr": (Calls(getattr, Calls(__import__, "os"), "system"), "builtins.getattr"),
        "in an array of objects": (inside, "an array of type O8"),
        "an array of objects": (np.array([None, {}]), "an array of type O8"),
        "in the arguments of a dtype": (Calls(np.dtype, Calls(eval, write)), "builtins.eval"),
        "a dtype of a list": (Calls(np.dtype, [("a", "f4", (10**9,))]), "array of type [('a',"),
        "a dtype of text": (Calls(np.dtype, "f4,(1000000000,)f8"), "type f4,(1000000000,)f8"),
        "a dtype of many bytes": (Calls(np.dtype, "V1000000000000"), "type V1000000000000"),
        "records": (record, "an array of type V4"),
        "dates": (np.array(["2020-01-01"], dtype="M8[D]"), "an array of type M8"),
        "a masked array": (np.ma.array([1.0]), "wants to call numpy.ma"),
        "numpy's load": (Calls(np.load, "x.npy", None, True), "numpy.load"),
        "an array's memory": (Calls(np.ndarray, (10**12,)), "NoneType"),
        "an object": (Plain(), "wants to call"),
        "a class": (Plain, "wants to call"),
        "a function": (os.path.join, "wants to call posixpath.join"),
        "a set": ({1, 2}, "set: refused" if protocol < 4 else "instruction EMPTY_SET"),
        "a frozen set": (
            frozenset((1,)),
            "frozenset: refused" if protocol < 4 else "instruction FROZENSET",
        ),
        "a tuple as key": ({(1, 2): 3}, "a dict with a key of type tuple"),
        "a counter": (collections.Counter("aab"), "wants to call collections.Counter"),
        "an ordered dict of pairs": (Calls(collections.OrderedDict, [((), 1)]), "TypeError"),
        "another codec": (Calls(__import__("_codecs").encode, "x", "zip"), "encodes something"),
    }


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("kind", hostile_objects(Path("x"), 0))
def test_nothing_is_called(tmp_path: Path, kind: str, protocol: int) -> None:
    mark = tmp_path / "called"
    hostile, reason = hostile_objects(mark, protocol)[kind]
    if protocol < 3:  # their names in Python 2
        reason = reason.replace("builtins", "__builtin__")
    assert reason in refusal(tmp_path, pickle.dumps({"annotations": [hostile]}, protocol))
    assert not mark.exists()


BOMB = struct.Struct("<Q").pack(2**60)
HOSTILE_BYTES = {
    "a persistent id": (b"Pos.system\n.", "makes an object (instruction PERSID)"),
    "a binary persistent id": (b"N\x51.", "BINPERSID"),
    "an extension's code": (b"\x80\x02\x82\x07.", "EXT1"),
    "an instance": (b"(ios\nsystem\n.", "INST"),
    "an object": (b"(cos\nsystem\no.", "os.system"),
    "a new object": (b"\x80\x02N)\x81.", "NEWOBJ"),
    "a buffer from elsewhere": (b"\x80\x05\x97.", "NEXT_BUFFER"),
    "a name of several lines": (b"\x80\x04\x8c\x04a\nb\x0d\x8c\x01x\x93.", r"call a\nb\r.x"),
    "a long name": (b"c" + b"m" * 10_000 + b"\nname\n.", "mmm...: refused"),
    "state for a list": (b"](K\x01K\x02tb.", "sets the state of a list"),
    "state for a name": (b"cnumpy\ndtype\n}b.", "sets the state of a function"),
    "items for an array": (
        b"cnumpy.core.multiarray\n_reconstruct\n)R(K\x00K\x01u.", "TypeError: items for a Pickled"
    ),
    "bytes that are not there": (b"\x80\x04\x8e" + BOMB + b"x.", "ends too early"),
    "a bytearray that is not there": (b"\x80\x05\x96" + BOMB + b"x.", "ends too early"),
    "a text that is not there": (b"\x80\x04\x8d" + BOMB + b"x.", "ends too early"),
    "a short text that is not there": (b"X\x05\x00\x00\x00abc.", "ends too early"),
    "a frame that is not there": (b"\x80\x04\x95" + BOMB, "ends too early"),
    "a number that is not there": (b"\x8b\xff\xff\xff\x7f\x01.", "ends too early"),
    "a string of negative length": (b"T\xff\xff\xff\xff.", "ends too early"),
    "a memo of 2**32 places": (b"Nr\xff\xff\xff\xffj\xfe\xff\xff\xff.", "Memo value not found"),
    "digits": (b"I" + b"9" * 100_000 + b"\n.", "damaged"),
    "no instruction": (b"\xff", "no instruction has the code 255"),
    "another protocol": (b"\x80\x63.", "unsupported pickle protocol: 99"),
    "an empty stack": (b".", "IndexError"),
    "a mark alone": (b"(.", "damaged"),
    "no end": (b"]", "ends too early"),
    "empty": (b"", "ends too early"),
    "text": (b"frame_dir,label\nS001C001,3\n", "damaged"),
    "zeros": (bytes(1000), "no instruction has the code 0"),
    "compressed": (gzip.compress(pickle.dumps({}), mtime=0), "no instruction has the code 31"),
    "half an item": (b"(K\x01d.", "damaged"),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE_BYTES)
def test_hostile_bytes(tmp_path: Path, kind: str) -> None:
    content, reason = HOSTILE_BYTES[kind]
    assert reason in refusal(tmp_path, content)


def test_an_extension_used_before_is_not_called(tmp_path: Path) -> None:
    copyreg.add_extension("os", "system", 7)
    try:
        assert pickle.loads(b"\x80\x02\x82\x07.") is os.system  # cached by the library now
        assert "EXT1" in refusal(tmp_path, b"\x80\x02\x82\x07.")
    finally:
        copyreg.remove_extension("os", "system", 7)
        copyreg.clear_extension_cache()


def array_of(shape: tuple[int, ...], content: Any, dtype: str = "f8") -> bytes:
    """A pickle that claims an array of this shape."""
    array = np.zeros(0, dtype)
    function, arguments, state = array.__reduce__()
    state = (1, shape, array.dtype, False, content)

    class Claims:
        def __reduce__(self) -> Any:
            return function, arguments, state

    return pickle.dumps(Claims(), 4)


@pytest.mark.parametrize(
    ("shape", "content", "reason"),
    [
        ((10**12,), b"", "shape (1000000000000,) and type float64 has a content of 0 bytes"),
        ((10**6, 10**6, 10**6), b"x" * 800, "has a content of 800 bytes"),
        ((0, 2**62, 2**62), b"", "cannot be read (array is too big"),
        ((2,), "abcdefgh", "has a content of 8 bytes"),
        ((1,), "\u20ac" * 8, "cannot be read ('latin-1' codec"),
        ((1,), ["abcdefgh"], "content is of type list"),
        ((1,), None, "content is of type NoneType"),
    ],
)
def test_an_array_that_claims_more_than_there_is(
    tmp_path: Path, shape: tuple[int, ...], content: Any, reason: str
) -> None:
    array = load(tmp_path, array_of(shape, content))

    def fault() -> str:
        with pytest.raises(DataError) as caught:
            array.read()
        return str(caught.value)

    message, allocated = peak(fault)
    assert reason in message and "\n" not in message
    assert allocated < 2**20


@pytest.mark.parametrize("shape", [(-1,), (2**63,), (1.5,), ("1",), (1,) * 33, None, 3])
def test_a_shape_that_is_none(tmp_path: Path, shape: Any) -> None:
    assert "damaged" in refusal(tmp_path, array_of(shape, b""))


def test_depth_does_not_end_the_process(tmp_path: Path) -> None:
    key = b"})" + b"\x85" * 10**6 + b"K\x01s."
    assert "a key of type tuple" in refusal(tmp_path, key)


def test_one_long_text_is_not_copied_for_each_use(tmp_path: Path) -> None:
    """Ten bytes of the file call for a megabyte each time."""
    text = b"X" + struct.pack("<I", 2**20) + b"x" * 2**20 + b"q\x000"
    use = b"h\x01h\x00h\x02\x86R"
    content = text + b"c_codecs\nencode\nq\x010U\x06latin1q\x020(" + use * 5000 + b"l."
    (tmp_path / "file.pkl").write_bytes(content)
    read, allocated = peak(lambda: load_pickle(tmp_path / "file.pkl"))
    assert len(read) == 5000 and allocated < 2**21


def test_the_arrays_stay_in_the_file(tmp_path: Path) -> None:
    """64 MB of arrays take a process next to nothing, even when they are read."""
    arrays = [np.full(2**21, number, dtype=np.float64) for number in range(4)]
    (tmp_path / "file.pkl").write_bytes(pickle.dumps(arrays, 4))
    del arrays
    read, allocated = peak(lambda: load_pickle(tmp_path / "file.pkl"))
    assert allocated < 2**20
    last, allocated = peak(lambda: [array.read()[-1] for array in read])
    assert last == [0, 1, 2, 3] and allocated < 2**20


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_every_truncation_is_one_line(tmp_path: Path, protocol: int) -> None:
    whole = pickle.dumps({"a": np.arange(40.0), "b": ["x", 1.5, None]}, protocol)
    for length in range(len(whole) - 1):
        refusal(tmp_path, whole[:length])


def test_garbled_pickles_are_read_or_refused(tmp_path: Path) -> None:
    """Any bytes give plain data or one line: 2000 garbled files."""
    draw = random.Random(0)
    annotation = {"frame_dir": "S001", "keypoint": np.ones((1, 9, 2), np.float16), "label": 1}
    seeds = [pickle.dumps([annotation, {1: (2,)}], protocol) for protocol in PROTOCOLS]
    opcodes = bytes(ord(known.code) for known in pickletools.opcodes)
    refused = 0
    for _ in range(2000):
        content = bytearray(draw.choice(seeds))
        for _ in range(draw.randint(1, 8)):
            place = draw.randrange(len(content))
            content[place : place + draw.randint(0, 2)] = bytes(
                draw.choice(opcodes) if draw.random() < 0.5 else draw.randrange(256)
                for _ in range(draw.randint(0, 3))
            )
        try:
            load(tmp_path, bytes(content))
        except DataError as error:
            assert "\n" not in str(error)
            refused += 1
    assert 500 < refused < 2000


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.pkl: cannot be read \(no such file\)"):
        load_pickle(tmp_path / "none.pkl")
    with pytest.raises(DataError, match=r": cannot be read \(not a regular file\)"):
        load_pickle(tmp_path)
    os.mkfifo(tmp_path / "pipe.pkl")
    with pytest.raises(DataError, match=r"pipe\.pkl: cannot be read \(not a regular file\)"):
        load_pickle(tmp_path / "pipe.pkl")


def test_the_library_itself_would_call(tmp_path: Path) -> None:
    """The cases above are hostile indeed: the standard library carries them out."""
    mark = tmp_path / "called"
    pickle.loads(pickle.dumps(Calls(eval, f"open({str(mark)!r}, 'w')")))
    assert mark.exists() and builtins.eval is eval
