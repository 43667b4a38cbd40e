"""What goes to a run's log file, and what stays on the terminal."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest

from skelray.platform.logs import logged_to


@pytest.fixture
def terminal() -> Iterator[StringIO]:
    """What the root logger writes for the user, as the command line sets it up."""
    stream = StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)


@pytest.fixture
def chatter() -> Iterator[StringIO]:
    """The terminal of a logger that Ray has set up for itself."""
    stream, logger = StringIO(), logging.getLogger("ray.data")
    handler, before = logging.StreamHandler(stream), logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    yield stream
    logger.removeHandler(handler)
    logger.propagate = before


def test_ray_and_warnings_go_to_the_file_alone(
    tmp_path: Path, terminal: StringIO, chatter: StringIO
) -> None:
    file = tmp_path / "logs" / "driver.log"
    with logged_to(file):
        logging.getLogger("skelray.some").warning("for the user")
        logging.getLogger("skelray.some").info("for the file")
        logging.getLogger("ray.data").info("a plan of Ray's")
        warnings.warn("of a library", UserWarning, stacklevel=1)
    assert terminal.getvalue() == "for the user\n"
    assert chatter.getvalue() == ""
    text = file.read_text()
    for part in ("WARNING skelray.some: for the user", "INFO skelray.some: for the file"):
        assert part in text
    assert "INFO ray.data: a plan of Ray's" in text and "of a library" in text
    logging.getLogger("ray.data").error("again")
    assert chatter.getvalue() == "again\n", "afterwards all is as it was"
    assert "again" not in file.read_text()


def test_the_error_that_ends_it_is_in_the_file_with_its_traceback(tmp_path: Path) -> None:
    file = tmp_path / "driver.log"
    for number in (1, 2):
        with pytest.raises(ValueError, match="a slip"), logged_to(file):
            raise ValueError(f"a slip {number}")
    text = file.read_text()
    assert text.count("Traceback (most recent call last)") == 2, "a later start appends"
    assert "ValueError: a slip 2" in text
