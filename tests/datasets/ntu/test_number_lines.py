"""Columns of numbers against Python's own `float`, and against exact rational arithmetic."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest

from skelray.datasets.ntu.number_lines import number_fault, read_columns, shown

FLOATS = [pa.float32(), pa.float64()]

NUMBERS = (
    *("0", "-0", "+7", "007", "12.", ".5", "-.5e-3", "1E+05", "2e2", "1.25E-7"),
    *("nan", "-NaN", "inf", "+Infinity", "-INF"),
    *("1e38", "3.4028235e38", "1e39", "-1e400", "1e-40", "1e-50", "9" * 400),
)
NO_NUMBERS = (
    *("", ".", "-", "+", "e5", "1e", "1e+", "--1", "+-1", "1.2.3", "1e5e5", "1e5.0", "0x10"),
    *(
        "1_0",
        "1,5",
        "1d5",
        "1f",
        "nan(1)",
        "infin",
        "naninf",
        "NA",
        "null",
        "1.#QNAN",
        "1\r1",
        "\v1",
    ),
    *('"1"', "\0", "#"),
)


def test_every_accepted_number_is_what_float_says() -> None:
    text = "".join(f"{number} {number}\n" for number in NUMBERS)
    columns = read_columns(text.encode(), FLOATS)
    assert columns is not None
    expected = np.array([float(number) for number in NUMBERS])
    np.testing.assert_array_equal(columns[1], expected, strict=True)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(columns[0], expected.astype(np.float32), strict=True)
    assert [number_fault(number.encode(), 1) for number in NUMBERS] == [None] * len(NUMBERS)


@pytest.mark.parametrize("token", NO_NUMBERS)
def test_what_is_no_number_is_refused_by_reader_and_diagnosis(token: str) -> None:
    assert read_columns(f"1 2\n3 {token}\n5 6\n".encode(), FLOATS) is None
    expected = f"expected 2 numbers, found {token!r}" if token else "expected 2 numbers, found 1"
    assert number_fault(f"3 {token}".encode(), 2) == expected


@pytest.mark.parametrize("line", [b"1", b"1 2 3", b"", b" "])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_another_number_of_numbers_is_refused(line: bytes, end: bytes) -> None:
    good, bad = b"1 2" + end, line + end
    for text in (bad, bad + good, good + bad, good + bad + good):
        assert read_columns(text, FLOATS) is None
    found = len(line.split()) if line.strip() else "''"
    assert number_fault(line, 2) == f"expected 2 numbers, found {found}"


@pytest.mark.parametrize(
    "text", [b"1 2\r3 4\n", b"1 2\r\r\n", b"1 2\r \n", b"1\r2\n", b"\r1 2\n", b"1 \r2\r\n"]
)
def test_carriage_return_alone_is_no_line_end(text: bytes) -> None:
    assert read_columns(text, FLOATS) is None
    assert read_columns(b"5 6\r\n" + text, FLOATS) is None


@pytest.mark.parametrize(
    "text",
    [
        b"1 2\n3 4\n",
        b"1 2\r\n3 4\r\n",
        b" 1\t2 \n\t3   4\t\n",
        b"1 2  \r\n  3 4  \n",
        b"1 2\r\n3 4\n",
    ],
)
def test_blanks_and_kinds_of_line_end_are_free(text: bytes) -> None:
    columns = read_columns(text, FLOATS)
    assert columns is not None
    assert [column.tolist() for column in columns] == [[1, 3], [2, 4]]


def test_text_longer_than_arrow_reads_at_once() -> None:
    numbers = np.arange(300_000)
    columns = read_columns("".join(f"{n} {n}\n" for n in numbers).encode(), FLOATS)
    assert columns is not None
    np.testing.assert_array_equal(columns[0], numbers)
    np.testing.assert_array_equal(columns[1], numbers)


def test_float32_is_the_nearest_by_exact_arithmetic() -> None:
    """Texts of 1 to 30 digits, and texts next to the middle between two float32."""
    random = np.random.default_rng(0)
    texts = []
    for _ in range(300):
        digits = "".join(map(str, random.integers(0, 10, size=random.integers(1, 31))))
        texts.append(f"{'-' * random.integers(2)}{digits}e{random.integers(-40, 8)}")
        low = np.float32(random.normal())
        middle = (Fraction(float(low)) + Fraction(float(np.nextafter(low, np.float32(9))))) / 2
        nudge = int(random.integers(-1, 2))
        texts.append(f"{int(middle * 10**60) + nudge}e-60")
    columns = read_columns("".join(f"{text} 0\n" for text in texts).encode(), FLOATS)
    assert columns is not None
    for text, value in zip(texts, columns[0], strict=True):
        exact = Fraction(text)
        neighbours = [np.nextafter(value, np.float32(side)) for side in (-np.inf, np.inf)]
        error = abs(Fraction(float(value)) - exact)
        assert all(error <= abs(Fraction(float(other)) - exact) for other in neighbours), text


def test_shown_is_one_short_line() -> None:
    assert shown(b"1 2 x") == "'1 2 x'"
    assert shown(b"\r\0") == r"'\r\x00'"
    for long in (b"7" * 10_000, b"\0" * 10_000):
        assert len(shown(long)) == 62 and shown(long).endswith("...'")
