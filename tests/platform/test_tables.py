"""Plain tables and sizes."""

from __future__ import annotations

import pytest

from skelray.platform.tables import aligned, size_text


def test_labels_stand_left_and_numbers_right() -> None:
    rows = (row for row in [["class", "n"], ["sit", "1,000"], ["stand up", "7"]])
    assert list(aligned(rows)) == [
        "class         n",
        "--------  -----",
        "sit       1,000",
        "stand up      7",
    ]


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 * 2**20 // 2, "2.5 MiB"),
     (3 * 2**40, "3.0 TiB"), (2**60, "1048576.0 TiB")],
)  # fmt: skip
def test_sizes(size: int, text: str) -> None:
    assert size_text(size) == text
