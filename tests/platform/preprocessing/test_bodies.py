"""Who is who in a frame's list."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from skelray.platform.preprocessing import Preprocessing
from skelray.platform.preprocessing.bodies import choose_bodies, identities, most_energetic
from skelray.platform.skeleton.specs import KINECT_V2
from tests.platform.preprocessing.recordings import recording

FRAMES = ["ab", "ba", "", "bca", "c"]


def test_positions_are_those_of_the_list() -> None:
    sample = recording(FRAMES)
    slots = choose_bodies(sample, 2, "position")
    names = slots.fill(np.frombuffer("".join(FRAMES).encode(), dtype=np.uint8))
    assert names.tolist() == [[97, 98], [98, 97], [0, 0], [98, 99], [99, 0]]


def test_ids_keep_their_slots_and_the_most_seen_come_first() -> None:
    sample = recording([*FRAMES, "cb", "c", "c"])
    slots = choose_bodies(sample, 2, "id")
    names = slots.fill(np.frombuffer(b"abbabcaccbcc", dtype=np.uint8))
    assert names[:, 0].tolist() == [0, 0, 0, 99, 99, 99, 99, 99]
    assert names[:, 1].tolist() == [98, 98, 0, 98, 0, 98, 0, 0]


def test_identities_count_in_the_order_of_appearance() -> None:
    sample = recording(["", "cb", "a", "bc"])
    assert identities(sample).tolist() == [0, 1, 2, 1, 0]
    assert identities(replace(sample, body_id=None)).tolist() == [0, 1, 0, 0, 1]


def test_energy_ranks_by_spread_and_among_equals_the_later_slot_is_first() -> None:
    bodies = np.zeros((2, 4, 2, 3), dtype=np.float32)
    bodies[:, 0] = [[1, 0, 0], [2, 0, 0]]  # deviations 0.5 0 0
    bodies[:, 2] = [[1, 5, 0], [2, 6, 1]]  # 0.5 0.5 0.5
    np.testing.assert_array_equal(most_energetic(bodies, 3), bodies[:, [2, 0, 3]])


def test_a_body_without_energy_loses_its_place_to_an_empty_one() -> None:
    bodies = np.zeros((1, 4, 2, 3), dtype=np.float32)
    bodies[0, 0] = 1
    assert not most_energetic(bodies, 2).any()  # as published


def test_body_centred_may_follow_ids() -> None:
    sample = recording(["ab"] * 10 + ["ba"] * 10 + ["a"])
    straight = recording(["ab"] * 20 + ["a"])
    order = np.arange(41)
    order[20:40] = order[20:40].reshape(10, 2)[:, ::-1].ravel()
    swapped = replace(straight, xyz=straight.xyz[order], body_id=sample.body_id)
    family = Preprocessing(name="body_centred", parameters={"bodies": "id"})
    wanted = Preprocessing(name="body_centred")(straight, KINECT_V2)
    np.testing.assert_array_equal(family(swapped, KINECT_V2).frames, wanted.frames)
