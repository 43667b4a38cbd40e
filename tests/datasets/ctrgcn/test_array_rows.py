"""Rows of arrays in npz files: any order, either compression, nothing that is not there."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from skelray.datasets.ctrgcn.array_rows import LARGEST_ROW, MOST_ROWS, ArrayRows
from skelray.platform.errors import DataError

Save = Callable[..., None]
SAVERS = (np.savez, np.savez_compressed)


def array(rows: int = 9) -> np.ndarray:
    """Numbers that no compression makes much smaller."""
    return np.random.default_rng(0).normal(size=(rows, 20, 150)).astype(np.float32)


def header(shape: object, descr: object = "<f4", fortran: bool = False) -> bytes:
    """The beginning of an npy file that claims this shape."""
    text = str({"descr": descr, "fortran_order": fortran, "shape": shape}).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def write(path: Path, content: bytes, method: int = zipfile.ZIP_STORED) -> str:
    """An npz file with one member `x.npy`."""
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("x.npy", content)
    return str(path)


@pytest.mark.parametrize("save", SAVERS)
@pytest.mark.parametrize("order", [range(9), (8, 0, 3, 3, 1, 7)])
def test_rows_in_any_order(tmp_path: Path, save: Save, order: range) -> None:
    expected = array()
    save(tmp_path / "a.npz", first=np.arange(1000), x=expected, last=np.ones(3))
    found = ArrayRows(str(tmp_path / "a.npz"), "x.npy")
    assert found.shape == (9, 20, 150) and found.dtype == np.float32 and len(found) == 9
    for number in order:
        assert np.array_equal(found.row(number), expected[number])


@pytest.mark.parametrize("dtype", ["<f8", ">f4", "<f2", "|b1", "<i8"])
def test_other_numbers(tmp_path: Path, dtype: str) -> None:
    expected = (array(2) * 3).astype(dtype)
    np.savez(tmp_path / "a.npz", x=expected)
    row = ArrayRows(str(tmp_path / "a.npz"), "x.npy").row(1)
    assert row.dtype == expected.dtype and np.array_equal(row, expected[1])


def test_format_version_2(tmp_path: Path) -> None:
    content = io.BytesIO()
    np.lib.format.write_array(content, array(), version=(2, 0))
    found = ArrayRows(write(tmp_path / "a.npz", content.getvalue()), "x.npy")
    assert np.array_equal(found.row(8), array()[8])


@pytest.mark.parametrize("save", SAVERS)
def test_memory_is_that_of_a_row(tmp_path: Path, save: Save) -> None:
    """12 MB in rows of 12 kB; what a stream buffers stays far below the array's size."""
    save(tmp_path / "a.npz", x=array(1000))
    tracemalloc.start()
    found = ArrayRows(str(tmp_path / "a.npz"), "x.npy")
    total = sum(float(found.row(number)[0, 0]) for number in range(1000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20 and np.isclose(total, array(1000)[:, 0, 0].sum(dtype=np.float64))


def test_ascending_rows_are_decompressed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez_compressed(tmp_path / "a.npz", x=array(50))
    found = ArrayRows(str(tmp_path / "a.npz"), "x.npy")
    read = []
    plain = zipfile.ZipExtFile._read1  # type: ignore[attr-defined]

    def counted(self: zipfile.ZipExtFile, n: int) -> bytes:
        data: bytes = plain(self, n)
        read.append(len(data))
        return data

    monkeypatch.setattr(zipfile.ZipExtFile, "_read1", counted)
    for number in range(0, 50, 2):
        found.row(number)
    assert 0 < sum(read) <= array(50).nbytes
    before = sum(read)
    found.row(0)  # back: from the start again
    assert 0 < sum(read) - before < array(50).nbytes


def test_a_row_that_is_not_there(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=array(), y=array())
    found = ArrayRows(str(tmp_path / "a.npz"), "x.npy")
    for number in (-1, 9):
        with pytest.raises(DataError, match=rf"x\.npy, row {number}: there are 9 rows"):
            found.row(number)


DAMAGED: dict[str, tuple[bytes, str]] = {
    "10^9 rows": (header((10**9, 300, 150)), "of shape (1000000000, 300, 150), but holds 0 bytes"),
    "more than 64 bits": (header((10**30, 300, 150)), "but holds 0 bytes"),
    "one long row": (header((1, 10**9)) + b"1234", "(1, 1000000000), but holds 4 bytes"),
    "no numbers in a row": (header((10**9, 0)), "is empty, its shape is (1000000000, 0)"),
    "no bytes in a row": (header((10**9,), "|S0"), "more than 1000000 rows"),
    "too many rows": (header((MOST_ROWS + 1,), "|b1") + bytes(MOST_ROWS + 1), "more than 1000000"),
    "too long rows": (header((1, LARGEST_ROW + 1), "|b1") + bytes(LARGEST_ROW + 1), "of 16777216"),
    "a byte less": (header((2, 3)) + bytes(23), "float32 of shape (2, 3), but holds 23 bytes"),
    "a byte more": (header((2, 3)) + bytes(25), "but holds 25 bytes"),
    "no rows": (header((0, 3)), "is empty, its shape is (0, 3)"),
    "negative": (header((-1, 3)), "is empty, its shape is (-1, 3)"),
    "a number": (header(()) + bytes(4), "is empty, its shape is ()"),
    "columns first": (header((2, 3), fortran=True) + bytes(24), "(Fortran order)"),
    "objects": (header((2, 3), "|O") + b"cos\nsystem\n", "holds Python objects"),
    "records of objects": (header((2,), [("a", "|O")]) + bytes(16), "holds Python objects"),
    "no array": (b"PK and so on", "not an array as numpy.savez writes it"),
    "nothing": (b"", "not an array as numpy.savez writes it"),
    "half a header": (header((2, 3))[:30], "not an array as numpy.savez writes it"),
    "another version": (header((2, 3)).replace(b"Y\x01", b"Y\x09"), "not an array"),
    "code": (header("__import__('os').abort()"), "not an array"),
    "deep nesting": (b"\x93NUMPY\x01\x00" + struct.pack("<H", 9000) + b"(" * 9000, "not an array"),
}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_array_is_named(tmp_path: Path, case: str, method: int) -> None:
    content, expected = DAMAGED[case]
    path = write(tmp_path / "a.npz", content, method)
    tracemalloc.start()
    with pytest.raises(DataError) as caught:
        ArrayRows(path, "x.npy")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    message = str(caught.value)
    assert message.startswith(f"{path}: x.npy: ") and expected in message and "\n" not in message
    assert peak < 2**23


def test_pickles_are_not_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.array([{"a": 1}, None], dtype=object))
    with pytest.raises(DataError, match=r"x\.npy: holds Python objects, which are not loaded"):
        ArrayRows(str(tmp_path / "a.npz"), "x.npy")


def test_a_member_that_is_not_there(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", y=array())
    with pytest.raises(DataError, match=r"a\.npz: x\.npy: there is no such array"):
        ArrayRows(str(tmp_path / "a.npz"), "x.npy")


def test_a_file_that_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match=r"x\.npy: cannot be read \(File is not a zip file\)"):
        ArrayRows(str(tmp_path / "a.npz"), "x.npy")


def test_other_compressions(tmp_path: Path) -> None:
    path = write(tmp_path / "a.npz", header((2, 3)) + bytes(24), zipfile.ZIP_LZMA)
    with pytest.raises(DataError, match="neither stored nor deflated"):
        ArrayRows(path, "x.npy")


def test_a_directory_that_claims_too_much(tmp_path: Path) -> None:
    """A compressed member said to become a thousand times what its bytes can hold."""
    path = tmp_path / "a.npz"
    size = 60_000_000
    write(path, header((100_000, 150)) + bytes(100), zipfile.ZIP_DEFLATED)
    content = path.read_bytes()
    at = content.index(b"PK\x01\x02") + 24
    path.write_bytes(content[:at] + struct.pack("<I", size) + content[at + 4 :])
    with pytest.raises(DataError, match="it claims more than the file can hold"):
        ArrayRows(str(path), "x.npy")


@pytest.mark.parametrize("save", SAVERS)
def test_damage_inside_an_array(tmp_path: Path, save: Save) -> None:
    """The checksum tells; what lies before the damage can be read, then and afterwards."""
    expected = array(40).round(1)
    save(tmp_path / "a.npz", x=expected)
    found = ArrayRows(str(tmp_path / "a.npz"), "x.npy")
    found.check()
    content = bytearray((tmp_path / "a.npz").read_bytes())
    half = len(content) // 2
    content[half : half + 256] = bytes([255]) * 256
    (tmp_path / "a.npz").write_bytes(content)
    found = ArrayRows(str(tmp_path / "a.npz"), "x.npy")
    with pytest.raises(DataError, match=r"x\.npy: damaged \(Bad CRC-32 for file 'x\.npy'\)"):
        found.check()
    for number in range(15):
        assert np.array_equal(found.row(number), expected[number])


def test_a_compressed_array_that_stops(tmp_path: Path) -> None:
    """Half of its bytes are there: the rows in them are read, again too, and the others refused."""
    expected = array(40)
    np.savez_compressed(tmp_path / "a.npz", x=expected)
    content = (tmp_path / "a.npz").read_bytes()
    at = content.index(b"PK\x01\x02") + 20
    (size,) = struct.unpack("<I", content[at : at + 4])
    stopped = content[:at] + struct.pack("<I", size // 2) + content[at + 4 :]
    (tmp_path / "a.npz").write_bytes(stopped)
    found = ArrayRows(str(tmp_path / "a.npz"), "x.npy")
    for _ in range(2):
        for number in range(19):
            assert np.array_equal(found.row(number), expected[number])
        for number in range(21, 40):
            with pytest.raises(DataError, match=rf"x\.npy, row {number}: "):
                found.row(number)


@pytest.mark.parametrize("save", SAVERS)
def test_garbled_files_give_rows_or_one_line(tmp_path: Path, save: Save) -> None:
    """Random bytes are replaced, some files cut: nothing but DataError comes out."""
    path = tmp_path / "a.npz"
    save(path, x=array(2)[:, :2, :3], y=np.eye(2))
    content = path.read_bytes()
    generator = np.random.default_rng(0)
    refused = 0
    for _ in range(500):
        cut = generator.integers(1, len(content)) if generator.random() < 0.2 else len(content)
        garbled = bytearray(content[:cut])
        for place in generator.integers(0, len(garbled), size=3):
            garbled[place] = generator.integers(0, 256)
        path.write_bytes(garbled)
        try:
            assert ArrayRows(str(path), "x.npy").row(1).size > 0
        except DataError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 150
