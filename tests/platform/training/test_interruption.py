"""Signals: the first is a wish, the second ends the process."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from skelray.platform.training import interruption
from skelray.platform.training.interruption import Interruption


def send(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(0.01)


@pytest.mark.parametrize(
    ("number", "ends", "status"),
    [(signal.SIGTERM, SystemExit, 143), (signal.SIGINT, KeyboardInterrupt, None)],
)
def test_the_first_signal_is_remembered_the_second_ends(
    number: int, ends: type[BaseException], status: int | None
) -> None:
    handlers = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]
    with Interruption(grace=60) as stop:
        stop.end()  # nothing was asked
        assert not stop.asked
        send(number)
        assert stop.asked and not stop.overdue
        with pytest.raises(ends) as at_once:
            send(number)
        with pytest.raises(ends):
            stop.end()
    assert getattr(at_once.value, "code", None) == status
    assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)] == handlers


def test_the_time_for_an_orderly_end_runs_out() -> None:
    with Interruption(grace=0.02) as stop:
        assert not stop.overdue
        send(signal.SIGTERM)
        time.sleep(0.03)
        assert stop.overdue


def test_a_trial_leaves_the_signals_alone() -> None:
    handler, seen = signal.getsignal(signal.SIGTERM), []

    def trial() -> None:
        with Interruption(grace=1):
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=trial)
    thread.start()
    thread.join()
    assert seen == [handler]


def test_workers_see_the_wish_until_it_is_withdrawn(tmp_path: Path) -> None:
    interruption.withdraw(tmp_path)
    assert not interruption.asked(tmp_path)
    interruption.ask(tmp_path)
    assert interruption.asked(tmp_path)
    interruption.withdraw(tmp_path)
    assert not interruption.asked(tmp_path)
