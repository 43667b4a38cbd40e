"""The `.skeleton` parser: files by hand, real ones, and every way in which one may be damaged."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from skelray.datasets.ntu.parser import HEADER, parse_skeleton
from skelray.platform.errors import DataError
from tests.datasets.ntu.skeleton_text import (
    assert_equals_slow,
    body_lines,
    joint_line,
    tiny_lines,
)

SAMPLES = ("S001C001P001R001A001", "S001C003P008R002A058")


def test_tiny_file_by_hand() -> None:
    parsed = parse_skeleton("\n".join(tiny_lines()) + "\n", "tiny")
    assert parsed.frame_bodies.tolist() == [1, 0, 3, 0]
    assert parsed.body_id.tolist() == [72057594037931101 + body for body in range(4)]
    assert parsed.xyz.shape == (4, 25, 3)
    assert parsed.xyz[2, 7].tolist() == [float(np.float32(x)) for x in (2.07005, 2.07015, 2.07025)]
    assert parsed.color_xy[3, 24].tolist() == [float(np.float32(x)) for x in (3.24055, 3.24065)]
    assert parsed.joint_state[0, :4].tolist() == [0, 1, 2, 0]
    assert dict(zip(HEADER, parsed.body_header[3].tolist(), strict=True)) == {
        "clipped_edges": 0,
        "hand_left_confidence": 1,
        "hand_left_state": 1,
        "hand_right_confidence": 1,
        "hand_right_state": 1,
        "is_restricted": 0,
        "lean_x": float(np.float32(0.03)),
        "lean_y": -0.5,
        "tracking_state": 2,
    }
    types = {name: array.dtype.name for name, array in parsed._asdict().items()}
    assert types == {
        "frame_bodies": "int32",
        "xyz": "float32",
        "body_id": "int64",
        "body_header": "float32",
        "joint_state": "int8",
        "color_xy": "float32",
    }


@pytest.mark.parametrize("ending", ["", "\n", "\n\n \n"])
@pytest.mark.parametrize("separator", ["\n", "\r\n"])
def test_line_ends(separator: str, ending: str) -> None:
    text = separator.join(tiny_lines()) + ending.replace("\n", separator)
    for content in (text, text.encode()):
        assert_equals_slow(parse_skeleton(content, "tiny"), "\n".join(tiny_lines()))


def test_frames_without_any_body() -> None:
    parsed = parse_skeleton("2\n0\n0\n", "empty frames")
    assert parsed.frame_bodies.tolist() == [0, 0]
    assert parsed.xyz.shape == (0, 25, 3)
    assert parsed.body_header.shape == (0, 9)


def test_colour_may_be_unknown() -> None:
    lines = tiny_lines()
    lines[4] = "1e-05 -2E0 .5 NaN NaN -Infinity inf 0 0 0 0 1"
    parsed = parse_skeleton("\n".join(lines), "tiny")
    assert parsed.xyz[0, 0].tolist() == [float(np.float32(1e-5)), -2.0, 0.5]
    assert parsed.color_xy[0, 0].tolist() == [-np.inf, np.inf]


def replaced(index: int, line: str) -> Callable[[list[str]], list[str]]:
    """The change that puts another line at a 0-based index."""
    return lambda lines: [*lines[:index], line, *lines[index + 1 :]]


# Lines of the tiny file (1-based): 2 bodies of frame 1; 3 header; 4 joint count; 5 to 29 joints;
# 30, 31 bodies of frames 2, 3; 32 header; 33 joint count; 34 to 58 joints; … 113 bodies of frame 4.
GOOD = joint_line(0, 0)
DAMAGED = {
    "empty file": (lambda lines: [], 1, "expected the number of frames"),
    "blank file": (lambda lines: ["", " "], 1, "expected the number of frames"),
    "no frames": (replaced(0, "0"), 1, "at least one frame"),
    "more frames declared": (replaced(0, "5"), 113, "the number of bodies in frame 5 of 5"),
    "fewer frames declared": (replaced(0, "3"), 113, "expected the end after 3 frames, found '0'"),
    "frame count not whole": (replaced(0, "4.0"), 1, "the number of frames, found '4.0'"),
    "negative bodies": (replaced(1, "-1"), 2, "the number of bodies in frame 1 of 4"),
    "huge count": (replaced(1, "9" * 5000), 2, "the number of bodies in frame 1 of 4"),
    "more bodies declared": (replaced(30, "4"), 113, "expected 10 numbers, found 1"),
    "cut between lines": (lambda lines: lines[:50], 50, "25 lines of joints in frame 3 of 4"),
    "cut in a line": (
        lambda lines: [*lines[:111], lines[111][:-2]],
        112,
        "expected 12 numbers, found 11",
    ),
    "cut in the last joint": (
        lambda lines: ["1", *lines[1:28], lines[28][:-2]],
        29,
        "expected 12 numbers, found 11",
    ),
    "24 joints": (replaced(32, "24"), 33, "expected 25 joints, found 24"),
    "joint count is a word": (replaced(32, "many"), 33, "the number of joints, 25, found 'many'"),
    "header too short": (replaced(2, "7 0 1 1 1 1 0 0.1 -0.5"), 3, "10 numbers, found 9"),
    "header not a number": (replaced(2, "7 0 1 x 1 1 0 0.1 -0.5 2"), 3, "10 numbers, found 'x'"),
    "id not whole": (replaced(2, "7.5 0 1 1 1 1 0 0.1 -0.5 2"), 3, "body's id"),
    "id negative": (replaced(2, "-7 0 1 1 1 1 0 0.1 -0.5 2"), 3, "body's id"),
    "id too large": (replaced(2, f"{2**63} 0 1 1 1 1 0 0.1 -0.5 2"), 3, "body's id"),
    "a column too many": (replaced(40, GOOD + " 1"), 41, "12 numbers, found 13"),
    "a column too few": (replaced(40, GOOD[:-2]), 41, "12 numbers, found 11"),
    "blank joint line": (replaced(40, ""), 41, "12 numbers, found ''"),
    "joint line lost": (lambda lines: [*lines[:40], *lines[41:]], 58, "12 numbers, found 10"),
    "joint line twice": (lambda lines: [*lines[:40], *lines[39:]], 59, "10 numbers, found 12"),
    "24 joints, and no more lines": (
        lambda lines: [*lines[:32], "24", *lines[34:]],
        33,
        "expected 25 joints, found 24",
    ),
    "a word": (replaced(40, GOOD.replace("0.00035", "abc")), 41, "12 numbers, found 'abc'"),
    "two points": (replaced(40, GOOD.replace("0.00075", "1.2.3")), 41, "found '1.2.3'"),
    "underscore": (replaced(40, GOOD.replace("0.00075", "1_0")), 41, "found '1_0'"),
    "vertical tab": (replaced(40, GOOD.replace(" ", "\v", 1)), 41, r"found '0.00005\x0b0.00015'"),
    "nan with a payload": (replaced(40, GOOD.replace("0.00075", "nan(1)")), 41, "found 'nan(1)'"),
    "comment": (replaced(40, GOOD + " # 1"), 41, "12 numbers, found '#'"),
    "x not finite": (replaced(40, GOOD.replace("0.00005", "nan")), 41, "finite coordinates"),
    "x too large": (replaced(40, GOOD.replace("0.00005", "1e39")), 41, "finite coordinates"),
    "state 3": (replaced(40, GOOD[:-1] + "3"), 41, "0, 1 or 2"),
    "state almost 2": (replaced(40, GOOD[:-1] + "2.00000001"), 41, "0, 1 or 2"),
    "state 0.5": (replaced(40, GOOD[:-1] + "0.5"), 41, "0, 1 or 2"),
    "trailing line": (lambda lines: [*lines, "", "1"], 114, "the end after 4 frames, found ''"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_file_names_source_line_and_expectation(case: str) -> None:
    damage, line, expected = DAMAGED[case]
    with pytest.raises(DataError) as caught:
        parse_skeleton("\n".join(damage(tiny_lines())), "folder/file.skeleton")
    message = str(caught.value)
    assert message.startswith(f"folder/file.skeleton, line {line}: ")
    assert expected in message
    assert "\n" not in message and len(message) < 200


def test_carriage_return_inside_a_line() -> None:
    lines = tiny_lines()
    lines[40] = lines[40].replace(" ", "\r", 1)
    with pytest.raises(DataError, match=r"line 41: expected 12 numbers, found '1\.07\S+\\r"):
        parse_skeleton("\n".join(lines), "tiny")


def test_blanks_around_numbers_are_free() -> None:
    lines = tiny_lines()
    spaced = ["\t " + line.replace(" ", " \t ") + "  " for line in lines]
    parsed = parse_skeleton("\n".join(spaced), "tiny")
    assert_equals_slow(parsed, "\n".join(lines))


@pytest.mark.parametrize("separator", [" ", "  "])
def test_coordinates_are_rounded_once(separator: str) -> None:
    """Just above the middle of 1 and the next float32: by way of a float64 it would become 1."""
    lines = tiny_lines()
    lines[4] = separator.join([f"1.000000059604644775390625{'0' * 20}1", *GOOD.split()[1:]])
    parsed = parse_skeleton("\n".join(lines), "tiny")
    assert parsed.xyz[0, 0, 0] == np.nextafter(np.float32(1), np.float32(2))


@pytest.mark.parametrize("state", ["2.0", "+2", "2e0", "02"])
def test_state_may_be_written_as_any_number(state: str) -> None:
    lines = tiny_lines()
    lines[4] = f"{GOOD[:-1]}{state}"
    assert parse_skeleton("\n".join(lines), "tiny").joint_state[0, 0] == 2


def test_other_bytes() -> None:
    with pytest.raises(DataError, match=r"^clip\.skeleton, line 2: expected text"):
        parse_skeleton(b"103\n\xff\xfe1\n", "clip.skeleton")


@pytest.mark.parametrize("name", SAMPLES)
def test_every_joint_of_real_recordings(name: str, shared: Callable[[str], Path]) -> None:
    path = shared(f"data/ntu_sample/{name}.skeleton")
    content = path.read_bytes()
    parsed = parse_skeleton(content, str(path))
    assert_equals_slow(parsed, content.decode())
    frames, bodies = {SAMPLES[0]: (103, 1), SAMPLES[1]: (70, 2)}[name]
    assert parsed.frame_bodies.tolist() == [bodies] * frames


def test_speed() -> None:
    """A recording of 100 frames takes about 2 ms; ten times that means a loop over numbers."""
    text = "\n".join(["100", *(line for _ in range(100) for line in ("1", *body_lines(0)))])
    times = []
    for _ in range(5):
        began = time.process_time()
        parse_skeleton(text, "speed")
        times.append(time.process_time() - began)
    assert min(times) < 0.02
