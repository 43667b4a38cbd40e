"""What the sixteen actions look like: bodies do what the classes' names say."""

import dataclasses

import numpy as np
import pytest

from skelray.datasets.synthetic.actions import ACTIONS, Manner
from skelray.datasets.synthetic.body import Proportions, joint_positions
from skelray.datasets.synthetic.camera import FACED, azimuth, seen_from
from skelray.datasets.synthetic.performance import FRAMES, Subject, perform
from skelray.platform.skeleton.specs import KINECT_V2

JOINT = {name: index for index, name in enumerate(KINECT_V2.joints)}
NUMBER = {action.name: index for index, action in enumerate(ACTIONS)}
MANNER = Manner(
    time=np.arange(61) / 30, start=0.2, end=1.8, tempo=1.0, amplitude=1.0, phase=0.3, variant=0.0
)


def moving(name, manner=MANNER):
    """(T, V, 3): the action's first person without posture, style or noise."""
    curves = ACTIONS[NUMBER[name]].motions[0](manner)
    return joint_positions(Proportions(stature=1.70), curves, len(manner.time))


def height(name, joint):
    return moving(name)[:, JOINT[joint], 1]


def mirrored(body):
    """The body as its mirror image, with left and right joints exchanged."""
    order = np.arange(len(KINECT_V2.joints))
    for left, right in KINECT_V2.left_right:
        order[[left, right]] = right, left
    return body[:, order] * (-1, 1, 1)


def test_there_are_sixteen_different_actions():
    assert len(NUMBER) == 16
    pairs = [action.name for action in ACTIONS if len(action.motions) == 2]
    assert pairs == ["shake hands", "push another person"]
    bodies = [moving(name) for name in NUMBER]
    for first in range(16):
        for second in range(first):
            assert np.abs(bodies[first] - bodies[second]).max() > 0.1


@pytest.mark.parametrize(
    ("right", "left"),
    [("wave right hand", "wave left hand"), ("kick with right leg", "kick with left leg")],
)
def test_side_is_the_only_difference(right, left):
    np.testing.assert_allclose(moving(right), mirrored(moving(left)), atol=1e-9)


def test_standing_up_is_sitting_down_backward():
    np.testing.assert_allclose(moving("sit down"), moving("stand up")[::-1], atol=1e-9)
    pelvis = height("sit down", "base of spine")
    assert pelvis[0] - pelvis[-1] > 0.25 and (np.diff(pelvis) < 1e-9).all()


def test_direction_in_time_is_the_only_difference_between_circles():
    backward = moving("circle right arm backward")
    np.testing.assert_allclose(backward, moving("circle right arm forward")[::-1], atol=1e-9)
    hand = backward[:, JOINT["right hand"]] - backward[:, JOINT["right shoulder"]]
    angle = np.unwrap(np.arctan2(-hand[:, 2], -hand[:, 1]))  # from hanging, forward first
    assert angle[-1] - angle[0] == pytest.approx(4 * np.pi)  # twice round, to where it was


def test_one_limb_is_the_only_difference_between_raised_arms():
    one, both = moving("raise right arm"), moving("raise both arms")
    left = [JOINT[f"left {joint}"] for joint in ("elbow", "wrist", "hand", "hand tip", "thumb")]
    others = np.setdiff1d(np.arange(25), left)
    np.testing.assert_allclose(one[:, others], both[:, others], atol=1e-9)
    assert np.ptp(one[:, left, 1], axis=0).max() < 0.05 < 1 < np.ptp(both[:, left[2], 1])


def test_hands_and_feet_go_where_the_names_say():
    assert height("wave right hand", "right hand").max() > height("bow", "spine at shoulders")[0]
    assert np.ptp(height("wave right hand", "left hand")) < 0.01
    for side in ("left", "right"):
        assert height("raise both arms", f"{side} hand").max() > 1.70
    drinking = moving("drink with right hand")
    to_head = np.linalg.norm(drinking[:, JOINT["right hand"]] - drinking[:, JOINT["head"]], axis=-1)
    assert to_head[0] > 0.6 and to_head.min() < 0.22
    punching = moving("punch with right hand")
    reach = punching[:, JOINT["right shoulder"], 2] - punching[:, JOINT["right hand"], 2]
    assert reach.max() > 0.45
    assert height("kick with right leg", "right ankle").max() > 0.3
    assert np.ptp(height("kick with right leg", "left ankle")) < 0.02
    assert height("bow", "head").min() < 1.25
    assert abs(height("bow", "head")[0] - height("bow", "head")[-1]) < 1e-9


def test_walking_lifts_the_feet_in_turn_and_stays_on_the_spot():
    lift = moving("walk on the spot")[:, [JOINT["left ankle"], JOINT["right ankle"]], 1]
    assert np.allclose(lift.min(axis=1), 0.055 * 1.70)
    assert (lift.max(axis=0) > 0.2).all()
    assert np.abs(moving("walk on the spot")[:, JOINT["base of spine"], ::2]).max() < 0.1


def test_amplitude_makes_a_movement_larger():
    large = dataclasses.replace(MANNER, amplitude=1.3)
    for name in ("raise both arms", "bow", "kick with right leg", "walk on the spot"):
        assert np.ptp(moving(name, large), axis=0).sum() > 1.05 * np.ptp(moving(name), axis=0).sum()


def subjects(count=2):
    rng = np.random.default_rng(5)
    return tuple(Subject.draw(rng) for _ in range(count))


def pair(name, seed):
    return perform(ACTIONS[NUMBER[name]], subjects(), heading=0.0, rng=np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("name", "ours", "theirs"),
    [
        ("shake hands", "right hand", "right hand"),
        ("push another person", "right hand", "left shoulder"),
    ],
)
def test_two_persons_meet_and_face_each_other(name, ours, theirs):
    for seed in range(5):
        bodies = pair(name, seed)
        assert bodies.shape[0] == 2 and bodies.shape[2:] == (25, 3)
        apart = (bodies[0, :, JOINT[ours]] - bodies[1, :, JOINT[theirs]])[:, ::2]
        gap = np.linalg.norm(apart, axis=-1)
        assert gap.min() < 0.02 and gap[0] > 0.1
        across = bodies[:, :, JOINT["right shoulder"]] - bodies[:, :, JOINT["left shoulder"]]
        assert (across[0] * across[1]).sum(-1).mean() < 0  # shoulders in opposite order
        apart = np.linalg.norm(bodies[0, :, 0] - bodies[1, :, 0], axis=-1)
        assert 0.3 < apart.mean() < 1.5


def test_who_is_pushed_gives_way_after_the_push():
    pusher, pushed = (
        joint_positions(Proportions(1.70), motion(MANNER), len(MANNER.time))
        for motion in ACTIONS[NUMBER["push another person"]].motions
    )
    reach = -(pusher[:, JOINT["right hand"], 2] - pusher[:, JOINT["spine at shoulders"], 2])
    lean = pushed[:, JOINT["spine at shoulders"], 2]  # z leads to a person's back
    assert reach.max() > 0.45 and np.ptp(lean) > 0.1
    assert reach.argmax() < lean.argmax()


def test_arms_that_have_no_part_are_put_somewhere():
    """The left hand of who waves the right one: at the hip, the belly, the back, the chin, down."""
    places = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        body = perform(ACTIONS[NUMBER["wave right hand"]], subjects(1), heading=0.0, rng=rng)[0]
        hand = body[:, JOINT["left hand"], 1] - body[:, JOINT["left shoulder"], 1]
        places.append(np.median(hand))
    assert 0.2 < np.mean(np.array(places) > -0.35) < 0.8


@pytest.mark.parametrize("replication", [1, 2])
def test_a_performer_faces_the_camera_of_the_replication(replication):
    """In the faced camera's image the right shoulder is to the right of the left (it mirrors)."""
    across = []
    for seed in range(200):
        room = perform(
            ACTIONS[NUMBER["drink with right hand"]],
            subjects(1),
            heading=azimuth(FACED[replication]),
            rng=np.random.default_rng(seed),
        )
        assert FRAMES[0] <= room.shape[1] <= FRAMES[1]
        for camera in (1, 2, 3):
            seen = seen_from(room[0], camera=camera, setup=33)
            across.append(
                (seen[:, JOINT["right shoulder"]] - seen[:, JOINT["left shoulder"]]).mean(0)
            )
    mean = np.mean(np.reshape(across, (200, 3, 3)), axis=0)
    faced, aside = FACED[replication], {1: 3, 2: 2}[replication]
    assert mean[faced - 1, 0] > 0.15 and abs(mean[faced - 1, 2]) < 0.08
    assert abs(mean[aside - 1, 0]) < 0.08 and abs(mean[aside - 1, 2]) > 0.15
    assert mean[0, 0] > 0.1 and abs(mean[0, 2]) > 0.1
