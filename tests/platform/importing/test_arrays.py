"""Arrays from files, and files of strangers: garbled, huge on paper, with code in them."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from skelray.platform.errors import DataError
from skelray.platform.importing import arrays
from skelray.platform.importing.arrays import Arrays, read_json, read_npy, read_npz

XYZ = np.arange(24.0).reshape(2, 4, 3)
SCORE = np.linspace(0, 1, 8).reshape(2, 4)


def npy(value: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, value, allow_pickle=True)
    return file.getvalue()


def npz(**named: Any) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **named)
    return file.getvalue()


def header(text: str, version: tuple[int, int] = (1, 0)) -> bytes:
    """An .npy file of this header, with 16 bytes after it."""
    size = struct.pack("<H" if version == (1, 0) else "<I", len(text) + 1)
    return b"\x93NUMPY" + bytes(version) + size + text.encode() + b"\n" + bytes(16)


class Evil:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return exec, ("raise SystemExit('code of the file has run')",)


@pytest.mark.parametrize("kind", ["<f4", ">f8", "<f2", "<i4", "|u1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy(kind: str, order: str) -> None:
    stored = np.asarray(XYZ, dtype=kind, order=order)
    np.testing.assert_array_equal(read_npy(npy(stored), "a.npy").values, XYZ)


def test_npy_without_frames() -> None:
    assert read_npy(npy(np.empty((0, 4, 3))), "a.npy").values.shape == (0, 4, 3)


@pytest.mark.parametrize("named", [{"xyz": XYZ}, {"keypoints": XYZ, "frames": SCORE}, {"pos": XYZ}])
def test_npz_and_json_choose_the_same_array(named: dict[str, np.ndarray]) -> None:
    as_json = {name: value.tolist() for name, value in named.items()}
    for score in ({}, {"score": SCORE}):
        lists = {name: value.tolist() for name, value in score.items()}
        for found in (
            read_npz(npz(**named, **score), "a.npz"),
            read_json(json.dumps(as_json | lists).encode(), "a.json"),
        ):
            np.testing.assert_array_equal(found.values, XYZ)
            assert (found.score is None) == (not score)
            if found.score is not None:
                np.testing.assert_array_equal(found.score, SCORE)


def test_json_lists_with_nulls() -> None:
    found = read_json(b"[[[1, 2.5, null]], [[NaN, 0, -1e3]]]", "a.json").values
    np.testing.assert_array_equal(found, [[[1, 2.5, np.nan]], [[np.nan, 0, -1000]]])


def bomb() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xyz.npy", npy(np.zeros(100_000)))
    return file.getvalue()


def garbled_member() -> bytes:
    content = bytearray(npz(xyz=XYZ))
    content[60] ^= 0xFF
    return bytes(content)


HUGE = "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"
NEGATIVE = "{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -2), }"
CODE = "{'descr': __import__('os').abort(), 'fortran_order': False, 'shape': (2,), }"
REFUSED: dict[str, tuple[Callable[[bytes, str], Arrays], bytes, str]] = {
    "empty": (read_npy, b"", "not an array of numpy.save"),
    "garbage": (read_npy, bytes(range(256)), "not an array of numpy.save"),
    "truncated": (read_npy, npy(XYZ)[:-1], r"\(2, 4, 3\) of float64 has 192 bytes, found 191"),
    "more behind": (read_npy, npy(XYZ) + b"x", "has 192 bytes, found 193"),
    "header cut": (read_npy, npy(XYZ)[:40], "not an array of numpy.save"),
    "huge on paper": (read_npy, header(HUGE), r"8000000000000 bytes, found 16"),
    "huge, version 2": (read_npy, header(HUGE, (2, 0)), r"8000000000000 bytes, found 16"),
    "negative shape": (read_npy, header(NEGATIVE), r"array \(-1, -2\) of float64"),
    "code in the header": (read_npy, header(CODE), "not an array of numpy.save"),
    "deep header": (read_npy, header("(" * 5000), "not an array of numpy.save"),
    "unhashable header": (read_npy, header("{[]: 1}"), "not an array of numpy.save"),
    "version 9": (read_npy, header(HUGE, (9, 0)), "not an array of numpy.save"),
    "objects": (read_npy, npy(np.array([Evil()])), "holds object values, expected numbers"),
    "fields": (read_npy, npy(np.zeros(2, "f4,f4")), "values, expected numbers"),
    "pickle as npy": (read_npy, pickle.dumps(Evil()), "not an array of numpy.save"),
    "no zip": (read_npz, b"PK\x03\x04 no archive", "not a readable .npz file"),
    "garbled member": (read_npz, garbled_member(), "not a readable .npz file"),
    "objects in npz": (read_npz, npz(xyz=np.array([Evil()])), "array 'xyz': holds object values"),
    "which one": (read_npz, npz(a=XYZ, b=XYZ), "named xyz or keypoints, found 'a', 'b'"),
    "score alone": (read_npz, npz(score=SCORE), "named xyz or keypoints, found none"),
    "bomb": (read_npz, bomb(), "array 'xyz' is larger than 1000 bytes"),
    "empty json": (read_json, b"", "line 1: not valid JSON"),
    "cut json": (read_json, b"[[1.0,\n[", "line 2: not valid JSON"),
    "latin-1": (read_json, '["é"]'.encode("latin-1"), "not a JSON text"),
    "deep json": (read_json, b"[" * 100_000, "not a JSON text"),
    "long number": (read_json, b"[" + b"9" * 5000 + b"]", "not a JSON text"),
    "ragged": (read_json, b"[[1, 2], [3]]", "in lists of equal lengths"),
    "ragged with null": (read_json, b"[[1, null], [3]]", "in lists of equal lengths"),
    "objects in lists": (read_json, b'[{"x": 1}]', "in lists of equal lengths"),
    "beyond float": (read_json, b"[1" + b"0" * 400 + b"]", "in lists of equal lengths"),
    "no such key": (read_json, b'{"a": [], "b": []}', "found 'a', 'b'"),
    "large json": (read_json, b" " * 1001 + b"1", "larger than 1000 bytes: save it as .npy"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_strangers_file_is_refused_in_one_line(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, content, expected = REFUSED[case]
    if case in ("bomb", "large json"):
        monkeypatch.setattr(arrays, "LARGEST", 1000)
        monkeypatch.setattr(arrays, "_LARGEST_JSON", 1000)
    with pytest.raises(DataError, match=expected) as caught:
        read(content, "folder/a.any")
    message = str(caught.value)
    assert message.startswith("folder/a.any") and "\n" not in message


@pytest.mark.parametrize("read", [read_npy, read_npz, read_json])
def test_damage_anywhere_is_an_error_or_an_array(read: Callable[[bytes, str], Arrays]) -> None:
    whole = {
        read_npy: npy(XYZ),
        read_npz: npz(xyz=XYZ, score=SCORE),
        read_json: json.dumps({"xyz": XYZ.tolist()}).encode(),
    }[read]
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(1500):
        content = bytearray(whole)
        for place in random.integers(len(content), size=random.integers(1, 4)):
            content[place] = random.integers(256)
        try:
            found = read(bytes(content[: random.integers(len(content)) + 1]), "a.any")
        except DataError as error:
            refused += 1
            assert "\n" not in str(error)
        else:
            assert isinstance(found.values, np.ndarray)
    assert refused > 1000
