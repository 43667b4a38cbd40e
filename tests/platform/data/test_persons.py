"""Squares around persons: joints and detections at and beyond the picture's edges."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from skelray.platform.data.boxes import VideoBoxes
from skelray.platform.data.persons import Persons, detected_square, person_square
from skelray.platform.errors import DataError
from tests.platform.data.films import Films, film

HEIGHT, WIDTH = 540, 960


def detected(*rows: tuple[float, ...]) -> VideoBoxes:
    return VideoBoxes(np.array([(*row, 0.9) for row in rows], np.float32), HEIGHT, WIDTH)


def test_a_person_at_the_edge_keeps_that_side() -> None:
    # half of 150 * 1.25 around (50.5, 125)
    assert detected_square(detected((0, 50, 100, 200)), HEIGHT, WIDTH) == (-43, 31, 144, 218)
    mixed = detected((60, 50, 100, 200), (0, 50, 100, 200), (0, 0, 0, 0))
    assert detected_square(mixed, HEIGHT, WIDTH) == (-43, 31, 144, 218)


def test_nobody_is_the_whole_picture() -> None:
    assert detected_square(detected((0, 0, 0, 0)), HEIGHT, WIDTH) == (0, 0, WIDTH, HEIGHT)


def test_boxes_of_another_size_are_scaled() -> None:
    found = detected_square(detected((100, 100, 180, 180)), HEIGHT // 2, WIDTH // 2)
    assert found == (45, 45, 95, 95)


def test_joints_outside_the_picture_count_as_at_its_edge() -> None:
    sample = replace(film(0, 1, Path()), height=HEIGHT, width=WIDTH)
    assert sample.color_xy is not None
    sample.color_xy[0, 0] = (-5000, 200)
    sample.color_xy[0, 1] = (700, 3e38)
    left, top, right, bottom = person_square(sample, Films.skeleton, HEIGHT, WIDTH)
    assert right - left == bottom - top
    assert right - left <= 1.25 * WIDTH


def test_what_is_not_cut_needs_no_places() -> None:
    sample = replace(film(0, 3, Path()), color_xy=None)
    persons = Persons(Films.skeleton, None)
    with pytest.raises(DataError, match="no positions of the joints in the colour picture"):
        persons.square(sample, HEIGHT, WIDTH)
    assert persons.square_or_picture(sample, HEIGHT, WIDTH) == (0, 0, WIDTH, HEIGHT)
