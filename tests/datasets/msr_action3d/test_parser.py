"""MSR-Action3D's text: numbers, zero frames, and the line that is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from skelray.datasets.msr_action3d.parser import parse_skeleton
from skelray.platform.errors import DataError

ZEROS = ["0.000000 0.000000 0.000000 0.000000"] * 20


def frame(number: int) -> list[str]:
    """20 lines that tell frame, joint and column apart."""
    return [f"{number}.1{v:02} -{number}.2{v:02} 2.3{v:02} 0.{v:02}" for v in range(20)]


def text(*frames: list[str], end: str = "\n") -> bytes:
    return "".join(f"{line}{end}" for lines in frames for line in lines).encode()


def test_numbers_are_the_nearest_float32() -> None:
    found = parse_skeleton(text(frame(0), frame(1)), "file")
    assert found.frame_bodies.tolist() == [1, 1] and found.frame_bodies.dtype == np.int32
    assert found.xyz.shape == (2, 20, 3) and found.xyz.dtype == np.float32
    assert found.score.shape == (2, 20) and found.score.dtype == np.float32
    expected = [np.float32(number) for number in ("1.107", "-1.207", "2.307", "0.07")]
    assert [*found.xyz[1, 7], found.score[1, 7]] == expected


def test_a_frame_of_zeros_has_no_body() -> None:
    found = parse_skeleton(text(ZEROS, frame(1), ZEROS, frame(3), ZEROS), "file")
    assert found.frame_bodies.tolist() == [0, 1, 0, 1, 0]
    alone = parse_skeleton(text(frame(1), frame(3)), "file")
    assert np.array_equal(found.xyz, alone.xyz) and np.array_equal(found.score, alone.score)


@pytest.mark.parametrize("line", ["0 0 0.5 0", "0 0 0 0.5"])
def test_one_number_makes_a_body(line: str) -> None:
    found = parse_skeleton(text([line, *ZEROS[1:]]), "file")
    assert found.frame_bodies.tolist() == [1]
    assert found.xyz.sum() + found.score.sum() == 0.5


def test_line_ends_and_blanks_are_free() -> None:
    expected = parse_skeleton(text(frame(1)), "file")
    for content in (
        text(frame(1), end="\r\n"),
        text(frame(1)).rstrip(),
        text(frame(1)) + b"\n \r\n",
        text(frame(1)).replace(b" ", b"\t "),
    ):
        found = parse_skeleton(content, "file")
        assert np.array_equal(found.xyz, expected.xyz)
        assert np.array_equal(found.score, expected.score)


def changed(line: int, by: str) -> bytes:
    """Two frames with another text in a line (1-based)."""
    lines = frame(0) + frame(1)
    lines[line - 1] = by
    return text(lines)


DAMAGED = {
    "empty": (b"", "file: the file is empty"),
    "blank": (b"\r\n \n", "file: the file is empty"),
    "all zeros": (text(ZEROS, ZEROS), "file, line 1: all 2 frames are zeros: none holds a body"),
    "cut between lines": (text(frame(0), frame(1)[:7]), "file, line 27: the file ends too early"),
    "cut inside a line": (text(frame(0))[:-5] + b"\n", "file, line 20: expected 4 numbers"),
    "a column less": (changed(23, "1 2 3"), "file, line 23: expected 4 numbers, found 3"),
    "a column more": (changed(23, "1 2 3 1 1"), "file, line 23: expected 4 numbers, found 5"),
    "five columns throughout": (b"1 2 3 1 1\n" * 20, "file, line 1: expected 4 numbers, found 5"),
    "a blank line": (changed(5, ""), "file, line 5: expected 4 numbers, found"),
    "a word": (changed(40, "1 2 x 1"), "file, line 40: expected 4 numbers, found 'x'"),
    "a comma": (changed(2, "1,5 2 3 1"), "file, line 2: expected 4 numbers, found '1,5'"),
    "a hexadecimal": (changed(2, "0x1 2 3 1"), "file, line 2: expected 4 numbers, found '0x1'"),
    "a NUL": (changed(9, "1 2 3 \0"), "file, line 9: expected 4 numbers, found '\\x00'"),
    "not finite": (changed(12, "1 nan 3 1"), "file, line 12: expected finite numbers"),
    "too large": (changed(12, "1 1e39 3 1"), "file, line 12: expected finite numbers"),
    "far too large": (changed(12, "1 1e9999 3 1"), "file, line 12: expected finite numbers"),
    "confidence": (changed(33, "1 2 3 1.5"), "file, line 33: expected a confidence of 0 to 1"),
    "negative": (changed(33, "1 2 3 -0.1"), "found '1 2 3 -0.1'"),
    "binary": (text(frame(0)) + b"1 \xff\xfe", "file, line 21: expected text, found other bytes"),
    "UTF-16": (text(frame(0)).decode().encode("utf-16"), "file, line 1: expected text"),
    "a long line": (b"1" * 3_000_000, "file, line 1: expected 4 numbers, found 1"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_text_is_named(case: str) -> None:
    content, expected = DAMAGED[case]
    with pytest.raises(DataError) as caught:
        parse_skeleton(content, "file")
    message = str(caught.value)
    assert expected in message and message.startswith("file") and "\n" not in message
    assert len(message) < 200


def test_garbled_files_give_numbers_or_one_line() -> None:
    """Each byte of a small file is replaced by some others; nothing but DataError comes out."""
    content = text(frame(0), ZEROS)
    values = np.random.default_rng(0).integers(0, 256, size=len(content), dtype=np.uint8)
    refused = 0
    for place, value in enumerate(values):
        garbled = content[:place] + bytes([value]) + content[place + 1 :]
        try:
            found = parse_skeleton(garbled, "file")
        except DataError as error:
            refused += 1
            assert "\n" not in str(error)
        else:
            assert np.isfinite(found.xyz).all() and found.frame_bodies.sum() == len(found.xyz)
    assert refused > len(content) / 2
