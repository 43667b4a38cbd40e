"""Frames from CSV, with and without a header, and text that is none."""

from __future__ import annotations

import numpy as np
import pytest

from skelray.platform.errors import DataError
from skelray.platform.importing import text
from skelray.platform.importing.frames import Layout
from skelray.platform.importing.text import read_csv
from skelray.platform.skeleton.spec import SkeletonSpec

STICK = SkeletonSpec(
    name="stick",
    joints=("Head", "left hand", "right-hand"),
    edges=((1, 0), (2, 0)),
    bone_pairs=((0, 0), (1, 0), (2, 0)),
    left_right=((1, 2),),
    parts={"all": (0, 1, 2)},
    shoulders=(1, 2),
    dimensions=2,
    unit="pixel",
)
PLAIN = Layout(skeleton=STICK)
SCORED = Layout(skeleton=STICK, scored=True)
NAN = float("nan")
BY_NAME = "frame,person,head_x,head_y,left_hand_x,left_hand_y,right_hand_x,right_hand_y\n"


def read(content: str, layout: Layout = PLAIN) -> np.ndarray:
    return read_csv(content.encode(), layout, "a.csv")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_plain_numbers_are_joint_after_joint(end: str, mark: str) -> None:
    found = read(f"{mark}1,2,3,4,5,-6.5{end}1e1,nan,,0.1,.5,7{end}")
    expected = [[[[1, 2], [3, 4], [5, -6.5]]], [[[10, NAN], [NAN, 0.1], [0.5, 7]]]]
    np.testing.assert_array_equal(found, np.float32(expected))
    assert found.dtype == np.float32


def test_coordinates_are_the_float32_nearest_to_the_text() -> None:
    halfway = "1.000000059604644775390625"  # between 1 and the next float32, then a little more
    found = read(f"{halfway}0001,{halfway},3,4,5,6\n")
    assert found[0, 0, 0].tolist() == [1.00000011920928955078125, 1.0]


def test_a_header_names_columns_in_any_order() -> None:
    found = read(
        "time,Right-Hand_y,right hand_x,HEAD_X,head_y,left_hand_x,Left Hand_Y\nnoon,6,5,1,2,3,4\n"
    )
    assert found.tolist() == [[[[1, 2], [3, 4], [5, 6]]]]


def test_scores_are_numbers_of_their_joint() -> None:
    columns = [f"{j}_{c}" for j in ("head", "left_hand", "right_hand") for c in ("x", "y", "score")]
    named = read(f"{','.join(columns)}\n1,2,.5,3,4,.25,5,6,1\n", SCORED)
    plain = read("1,2,.5,3,4,.25,5,6,1\n", SCORED)
    assert named.tolist() == plain.tolist() == [[[[1, 2, 0.5], [3, 4, 0.25], [5, 6, 1]]]]


def test_frames_and_persons_have_their_places() -> None:
    found = read(f"{BY_NAME}7,1,1,1,1,1,1,1\n4,0,2,2,2,2,2,2\n7,0,3,3,3,3,3,3\n")
    assert found.shape == (4, 2, 3, 2)
    assert found[0, 0, 0, 0] == 2 and found[3, 1, 0, 0] == 1 and found[3, 0, 0, 0] == 3
    assert np.isnan(found).all(axis=(2, 3)).tolist() == [
        [False, True],
        [True, True],
        [True, True],
        [False, False],
    ]


ROW = ",1,2,3,4,5,6\n"
REFUSED = {
    "nothing": ("", "the first line is empty"),
    "empty first line": ("\n1,2,3,4,5,6\n", "the first line is empty"),
    "five numbers": ("1,2,3,4,5\n", r"Expected 6 columns, got 5"),
    "a short row": ("1,2,3,4,5,6\n1,2,3\n", r"Row #2: Expected 6 columns, got 3: 1,2,3"),
    "a word": ("1,2,3,4,5,6\n1,2,oops,4,5,6\n", "Row #2: CSV conversion .* value 'oops'"),
    "semicolons": ("1;2;3;4;5;6\n", "the first line has no comma: .* with commas between"),
    "tabs": ("1\t2\t3\t4\t5\t6\n", "the first line has no comma: .* with commas between"),
    "other names": (
        "x1,y1,x2,y2,x3,y3\n1,2,3,4,5,6\n",
        "the first line is no row of numbers, but 'x1', 'y1', 'x2', …, without a column 'head_x'",
    ),
    "a name twice": (f"{BY_NAME[:-1]},head_x\n0,0,1,2,3,4,5,6,7\n", "two columns 'head_x'"),
    "half a frame": (f"{BY_NAME}0.5,0{ROW}", "CSV conversion error to int64"),
    "no frame number": (f"{BY_NAME},0{ROW}", "column 'frame' has an empty field"),
    "a frame twice": (f"{BY_NAME}3,0{ROW}3,0{ROW}", "frame 3 has two rows of person 0"),
    "person -1": (f"{BY_NAME}0,-1{ROW}", "the first person is -1: count persons from 0"),
    "persons from 1": (f"{BY_NAME}0,1{ROW}0,2{ROW}", "the first person is 1: count persons fr"),
    "far frames": (f"{BY_NAME}0,0{ROW}9000000000000000000,0{ROW}", "without large gaps"),
    "many persons": (f"{BY_NAME}0,0{ROW}0,9000000000000000000{ROW}", "without large gaps"),
    "binary": ("\x00\x01\x02", "the first line has no comma"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_wrong_is_named(case: str) -> None:
    content, expected = REFUSED[case]
    with pytest.raises(DataError, match=f"^a.csv: .*{expected}") as caught:
        read(content)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"\xff\xfe1\x00,\x002\x00", b'"' + b"x" * 200_000])
def test_what_is_no_text_is_named(content: bytes) -> None:
    with pytest.raises(DataError, match=r"a\.csv: (not CSV in UTF-8|the first line has no comma)"):
        read_csv(content, PLAIN, "a.csv")


def test_a_header_alone_is_a_recording_without_frames() -> None:
    assert read(BY_NAME).shape == (0, 1, 3, 2)


def test_gaps_take_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "LARGEST", 1000)
    assert read(f"{BY_NAME}0,0{ROW}40,0{ROW}").shape == (41, 1, 3, 2)
    with pytest.raises(DataError, match="42 frames of 1 persons are more than 1000 bytes"):
        read(f"{BY_NAME}0,0{ROW}41,0{ROW}")


def test_damage_anywhere_is_an_error_or_numbers() -> None:
    whole = f"{BY_NAME}0,0{ROW}1,0{ROW}1,1{ROW}".encode()
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(1500):
        content = bytearray(whole)
        for place in random.integers(len(content), size=random.integers(1, 4)):
            content[place] = random.integers(256)
        try:
            read_csv(bytes(content), PLAIN, "a.csv")
        except DataError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 500
