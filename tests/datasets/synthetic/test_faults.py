"""What goes wrong with whole bodies: each fault, how often, and what it never takes away."""

import numpy as np
import pytest

from skelray.datasets.synthetic import faults
from skelray.datasets.synthetic.faults import Tracked, add_faults

FRAMES = 60


def recording(persons):
    """Bodies that stand upright, one metre apart."""
    body = np.zeros((25, 3))
    body[:, 1] = np.linspace(-0.8, 0.8, 25)
    body[:, 2] = 3.0
    xyz = np.tile(body, (persons, FRAMES, 1, 1))
    xyz[1:, ..., 0] = 1.0
    return Tracked.faultless(xyz, np.full(xyz.shape[:-1], 2))


def only(monkeypatch, *names):
    """Lets these faults happen always and no others."""
    for name in ("LATE", "DROPPED", "GHOST", "PAIR_SWAPPED", "PAIR_LOST", "PAIR_LATE"):
        monkeypatch.setattr(faults, name, 1.0 if name in names else 0.0)


def drawn(persons, count=50):
    return [add_faults(recording(persons), np.random.default_rng(seed)) for seed in range(count)]


def runs(empty):
    """Lengths of the stretches of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], empty, [0]])))
    return (edges[1::2] - edges[::2]).tolist()


def test_without_faults_every_frame_lists_every_body(monkeypatch):
    only(monkeypatch)
    for persons, expected in ((1, (0,)), (2, (0, 1))):
        for tracked in drawn(persons, 5):
            assert set(tracked.listed) == {expected} and len(tracked.listed) == FRAMES


def test_a_late_entry_leaves_the_first_frames_empty(monkeypatch):
    only(monkeypatch, "LATE")
    for tracked in drawn(2):
        first = tracked.listed.index((0, 1))
        assert 1 <= first <= 12
        assert set(tracked.listed[:first]) == {()} and set(tracked.listed[first:]) == {(0, 1)}


def test_dropped_frames_lie_inside(monkeypatch):
    only(monkeypatch, "DROPPED")
    for tracked in drawn(1):
        empty = np.array([not bodies for bodies in tracked.listed])
        assert not empty[0] and not empty[-1] and 1 <= len(runs(empty)) <= 3
        assert 1 <= empty.sum() <= 12


def test_the_second_person_comes_late(monkeypatch):
    only(monkeypatch, "PAIR_LATE")
    for tracked in drawn(2):
        first = tracked.listed.index((0, 1))
        assert 5 <= first <= 25
        assert set(tracked.listed[:first]) == {(0,)} and set(tracked.listed[first:]) == {(0, 1)}


def test_the_second_person_gets_lost_for_a_while(monkeypatch):
    only(monkeypatch, "PAIR_LOST")
    for tracked in drawn(2):
        assert set(tracked.listed) == {(0,), (0, 1)}
        (lost,) = runs(np.array([bodies == (0,) for bodies in tracked.listed]))
        assert 3 <= lost <= 20 and tracked.listed[0] == tracked.listed[-1] == (0, 1)


def test_positions_are_exchanged_and_the_bodies_stay_who_they_are(monkeypatch):
    only(monkeypatch, "PAIR_SWAPPED")
    for tracked in drawn(2):
        since = tracked.listed.index((1, 0))
        assert set(tracked.listed[since:]) == {(1, 0)} and set(tracked.listed[:since]) <= {(0, 1)}
        np.testing.assert_array_equal(tracked.xyz, recording(2).xyz)


def test_ghosts_are_short_lived_or_wider_than_high(monkeypatch):
    only(monkeypatch, "GHOST")
    kinds = set()
    for tracked in drawn(2):
        assert len(tracked.xyz) == len(tracked.state) == 3 and (tracked.state[2] == 1).all()
        seen = np.array([2 in bodies for bodies in tracked.listed])
        assert len(runs(seen)) == 1 and all({0, 1} <= set(bodies) for bodies in tracked.listed)
        width, height, _ = np.ptp(tracked.xyz[2, seen], axis=1).mean(axis=0)
        kinds.add("short" if seen.sum() <= 10 else "flat")
        assert seen.sum() <= 10 or (seen.sum() <= 36 and width > 0.8 * height)
        aside = abs((tracked.xyz[2] - tracked.xyz[0])[..., 0].mean())
        assert 0.25 < aside < 1.2
    assert kinds == {"short", "flat"}


def test_listed_first_or_last(monkeypatch):
    only(monkeypatch, "GHOST")
    lists = {bodies for tracked in drawn(1) for bodies in tracked.listed}
    assert lists == {(0,), (0, 1), (1, 0)}


@pytest.mark.parametrize("persons", [1, 2])
def test_faults_are_rare_and_leave_a_usable_body(persons):
    tracked = drawn(persons, 2000)
    intact = recording(persons).listed
    share = np.mean([each.listed != intact for each in tracked])
    expected = 1 - (1 - faults.LATE) * (1 - faults.DROPPED) * (1 - faults.GHOST)
    if persons == 2:
        pair = (faults.PAIR_SWAPPED, faults.PAIR_LOST, faults.PAIR_LATE)
        expected = 1 - (1 - expected) * np.prod(1 - np.array(pair))
    assert share == pytest.approx(expected, abs=0.03)
    assert min(sum(0 in bodies for bodies in each.listed) for each in tracked) >= FRAMES - 24


def test_no_body_is_listed_twice_when_everything_goes_wrong(monkeypatch):
    only(monkeypatch, "LATE", "DROPPED", "GHOST", "PAIR_SWAPPED", "PAIR_LOST", "PAIR_LATE")
    for tracked in drawn(2, 200):
        for bodies in tracked.listed:
            assert len(set(bodies)) == len(bodies) and set(bodies) <= {0, 1, 2}
