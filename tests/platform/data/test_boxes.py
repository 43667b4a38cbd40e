"""`boxes.parquet`: what was written comes back, and what is damaged is named in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skelray.platform.data.boxes import SCHEMA, VideoBoxes, read_boxes, write_boxes
from skelray.platform.data.partial_boxes import partial_boxes
from skelray.platform.errors import DataError, UsageError

ABOUT = {"detector": "toys:detector", "rules": "sound"}


def video(frames: int, seed: int = 0) -> VideoBoxes:
    boxes = np.random.default_rng(seed).random((frames, 5), dtype=np.float32)
    return VideoBoxes(boxes, 540, 960 + seed)


VIDEOS = {"b": video(3, 1), "a": video(7, 2), "none": video(0, 3), "c": video(1, 4)}


def same(first: VideoBoxes, second: VideoBoxes) -> None:
    np.testing.assert_array_equal(first.boxes, second.boxes)
    assert first.boxes.dtype == second.boxes.dtype == np.float32
    assert first.boxes.shape == second.boxes.shape
    assert (first.height, first.width) == (second.height, second.width)


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "new/boxes.parquet"
    write_boxes(path, VIDEOS, about=ABOUT)
    file = read_boxes(path)
    assert list(file) == ["a", "b", "c", "none"] and len(file) == 4 and "d" not in file
    assert file.about == ABOUT
    for id, expected in VIDEOS.items():
        same(file[id], expected)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    with pytest.raises(KeyError):
        file["d"]


def test_the_columns_are_those_of_the_page(tmp_path: Path) -> None:
    path = tmp_path / "boxes.parquet"
    write_boxes(path, VIDEOS, about=ABOUT)
    schema = pq.read_schema(path)
    assert [(f.name, str(f.type)) for f in schema] == [
        ("id", "string"),
        ("boxes", "large_list<element: float>"),
        ("height", "int32"),
        ("width", "int32"),
    ]


def test_a_file_of_no_videos(tmp_path: Path) -> None:
    path = tmp_path / "boxes.parquet"
    write_boxes(path, {}, about={})
    assert dict(read_boxes(path)) == {}


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "boxes.parquet"
    write_boxes(path, VIDEOS, about=ABOUT)
    with pytest.raises(pa.ArrowException):
        write_boxes(path, {"a": VideoBoxes(np.zeros((1, 5)), 2**40, 1)}, about=ABOUT)
    assert len(read_boxes(path)) == 4
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def altered(**columns: pa.Array | None) -> Callable[[pa.Table], pa.Table]:
    def alter(table: pa.Table) -> pa.Table:
        for name, column in columns.items():
            place = table.schema.names.index(name)
            table = table.remove_column(place)
            if column is not None:
                table = table.add_column(place, name, column)
        return table

    return alter


LISTS = SCHEMA.field("boxes").type


@pytest.mark.parametrize(
    ("alter", "said"),
    [
        (altered(boxes=None), "it has no column boxes"),
        (altered(height=None), "it has no column height"),
        (altered(width=pa.array([1.0, 2.0])), "width is of type double, expected int32"),
        (altered(id=pa.array(["a", None])), "a row has no id"),
        (altered(id=pa.array(["a", "a"])), "1 ids are there twice"),
        (altered(boxes=pa.array([[0.0] * 5, [0.0] * 9], LISTS)), "b has 9 numbers of boxes"),
        (altered(boxes=pa.array([[0.0] * 5, [None] * 5], LISTS)), "is not finite"),
    ],
)
def test_another_table_is_one_line(
    alter: Callable[[pa.Table], pa.Table], said: str, tmp_path: Path
) -> None:
    path = tmp_path / "boxes.parquet"
    write_boxes(path, {"a": video(1), "b": video(2)}, about=ABOUT)
    pq.write_table(alter(pq.read_table(path)), path)
    with pytest.raises(DataError, match=f"boxes.parquet: .*{said}.*: make it with skelray boxes"):
        read_boxes(path)


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "boxes.parquet"
    with pytest.raises(DataError, match="is missing: make it with skelray boxes"):
        read_boxes(path)
    write_boxes(path, VIDEOS, about=ABOUT)
    whole = path.read_bytes()
    for content in (b"", b"PAR1 or not", whole[: len(whole) // 2], whole[200:]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"cannot be read.*delete it and make it again") as info:
            read_boxes(path)
        assert "\n" not in str(info.value)


def write_partial(out: Path) -> Path:
    with partial_boxes(out, ABOUT) as partial:
        for id, boxes in VIDEOS.items():
            partial.add(id, boxes)
    return partial.path


def test_a_partial_file_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "boxes.parquet"
    path = write_partial(out)
    assert path == tmp_path / "boxes.parquet.partial"
    with partial_boxes(out, ABOUT) as partial:
        assert partial.boxes.keys() == VIDEOS.keys()
        for id, expected in VIDEOS.items():
            same(partial.boxes[id], expected)
        partial.add("more", video(2))
    with partial_boxes(out, ABOUT) as partial:
        assert list(partial.boxes) == [*VIDEOS, "more"]
        partial.remove()
    assert not path.exists()


def test_a_kill_costs_the_line_it_left_unfinished(tmp_path: Path) -> None:
    """Wherever the file ends, what is whole before stays, and the rest can be added again."""
    out = tmp_path / "boxes.parquet"
    whole = write_partial(out).read_bytes()
    path, ids = tmp_path / "boxes.parquet.partial", list(VIDEOS)
    for end in range(0, len(whole), 7):
        path.write_bytes(whole[:end])
        lines = whole[:end].count(b"\n")
        with partial_boxes(out, ABOUT) as partial:
            assert list(partial.boxes) == ids[: max(lines - 1, 0)]
            for id in ids[max(lines - 1, 0) :]:
                partial.add(id, VIDEOS[id])
        assert path.read_bytes() == whole


def test_what_cannot_be_read_is_made_again(tmp_path: Path) -> None:
    out = tmp_path / "boxes.parquet"
    path = write_partial(out)
    lines = path.read_bytes().splitlines(keepends=True)
    for damage in (b"\0" * 40 + b"\n", b"[]\n", b'{"id": "b"}\n', lines[2].replace(b'="}', b'"}')):
        path.write_bytes(b"".join([*lines[:2], damage, *lines[3:]]))
        with partial_boxes(out, ABOUT) as partial:
            assert list(partial.boxes) == ["b"], damage


def test_boxes_of_two_kinds_are_not_mixed(tmp_path: Path) -> None:
    out = tmp_path / "boxes.parquet"
    path = write_partial(out)
    before = path.read_bytes()
    said = (
        "boxes.parquet.partial was made with detector toys:detector, rules sound, not with "
        "detector toys:detector, rules as published: give another --out, or delete it"
    )
    with (
        pytest.raises(UsageError, match=said),
        partial_boxes(out, {**ABOUT, "rules": "as published"}),
    ):
        pass
    assert path.read_bytes() == before


def test_one_process_at_a_time_makes_a_file(tmp_path: Path) -> None:
    out = tmp_path / "boxes.parquet"
    with (
        partial_boxes(out, ABOUT),
        pytest.raises(UsageError, match=r"another process is making .*boxes.parquet"),
        partial_boxes(out, ABOUT),
    ):
        pass
    assert list(tmp_path.iterdir()) == []  # nothing was made
