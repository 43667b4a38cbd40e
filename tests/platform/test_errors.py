"""Errors in one line, and what is behind those that Ray has wrapped."""

from __future__ import annotations

from ray.exceptions import RayTaskError

from skelray.platform.errors import DataError, UsageError, first_cause, in_one_line


def wrapped(cause: Exception) -> Exception:
    error = RayTaskError("task", "Traceback\n  of the\nworker", cause)
    made: Exception = error.as_instanceof_cause()
    return made


def test_what_a_task_raised_is_found_again() -> None:
    own = DataError("store x is damaged")
    error = wrapped(own)
    assert isinstance(error, DataError) and "Traceback" in str(error)
    assert first_cause(error) is own
    outer = RuntimeError("a stage has failed")
    outer.__cause__ = error
    assert first_cause(outer) is own


def test_an_error_of_ours_hides_what_it_was_raised_from() -> None:
    error = UsageError("no such key")
    error.__cause__ = KeyError("inner")
    assert first_cause(error) is error
    alone = ValueError("x")
    assert first_cause(alone) is alone


def test_place_and_kind_are_named() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError as error:
        said = in_one_line(error)
    assert said.startswith("ValueError: two lines (test_errors.py, line ")
    assert in_one_line(ValueError("sent")) == "ValueError: sent"
