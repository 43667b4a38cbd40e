"""The articulated body against cases worked out by hand."""

import numpy as np
import pytest

from skelray.datasets.synthetic.body import PARENTS, Proportions, joint_positions, rotation
from skelray.platform.skeleton.specs import KINECT_V2

JOINT = {name: index for index, name in enumerate(KINECT_V2.joints)}
PERSON = Proportions(stature=1.70)


def pose(**angles):
    """One frame; keys such as right_elbow_flexion."""
    curves = {}
    for key, degrees in angles.items():
        joint, angle = key.rsplit("_", 1)
        curves[joint.replace("_", " "), angle] = np.array([float(degrees)])
    return joint_positions(PERSON, curves, 1)[0]


def arm(body, start="right shoulder", end="right wrist"):
    """Unit direction from one joint to another in the body's axes: right, up, back."""
    vector = body[JOINT[end]] - body[JOINT[start]]
    return vector / np.linalg.norm(vector)


def test_tree_is_the_skeletons():
    """But for the tips of the hands: the usual graph hangs them from the thumbs."""
    tips = {JOINT["left hand tip"], JOINT["right hand tip"]}
    ours = {frozenset(pair) for pair in PARENTS.items() if pair[0] not in tips}
    assert ours == {frozenset(edge) for edge in KINECT_V2.edges if not tips & set(edge)}
    assert len(PARENTS) == 24


def test_standing_person_is_upright_symmetric_and_of_the_stature():
    body = pose()
    assert 0.85 * 1.70 < body[JOINT["head"], 1] < 0.97 * 1.70
    np.testing.assert_allclose(body[[JOINT["left ankle"], JOINT["right ankle"]], 1], 0.055 * 1.70)
    for left, right in KINECT_V2.left_right:
        np.testing.assert_allclose(body[left], body[right] * (-1, 1, 1), atol=1e-12)
    assert body[JOINT["right hand"], 0] > 0.1  # x leads to the person's right
    assert body[JOINT["right foot"], 2] < body[JOINT["right ankle"], 2]  # toes lead forward, to -z


@pytest.mark.parametrize(
    ("angles", "direction"),
    [
        ({"right_shoulder_flexion": 90}, (0, 0, -1)),
        ({"right_shoulder_abduction": 90}, (1, 0, 0)),
        ({"right_shoulder_flexion": 180}, (0, 1, 0)),
    ],
)
def test_right_arm_goes_where_the_angle_says(angles, direction):
    np.testing.assert_allclose(arm(pose(**angles)), direction, atol=1e-9)


@pytest.mark.parametrize(("side", "outward"), [("right", 1), ("left", -1)])
def test_raised_arm_with_outward_twist_points_the_forearm_up(side, outward):
    body = pose(
        **{
            f"{side}_shoulder_abduction": 90,
            f"{side}_shoulder_twist": 90,
            f"{side}_elbow_flexion": 90,
        }
    )
    np.testing.assert_allclose(
        arm(body, f"{side} shoulder", f"{side} elbow"), (outward, 0, 0), atol=1e-9
    )
    np.testing.assert_allclose(arm(body, f"{side} elbow", f"{side} wrist"), (0, 1, 0), atol=1e-9)


def test_knee_bends_backward_and_trunk_forward():
    kneeling = pose(right_knee_flexion=90)
    assert arm(kneeling, "right knee", "right ankle")[2] > 0.99
    bowing = pose(mid_spine_flexion=90)
    assert arm(bowing, "mid spine", "spine at shoulders")[2] < -0.99


def test_bow_with_counter_flexed_hips_leaves_the_legs():
    still, bowing = (
        pose(),
        pose(base_of_spine_flexion=70, left_hip_flexion=70, right_hip_flexion=70),
    )
    legs = [
        JOINT[f"{side} {joint}"]
        for side in ("left", "right")
        for joint in ("knee", "ankle", "foot")
    ]
    shift = (bowing - still)[legs]
    np.testing.assert_allclose(shift, np.broadcast_to(shift[0], shift.shape), atol=1e-12)


def test_sitting_moves_the_pelvis_back_over_standing_feet():
    angles = {
        f"{side}_{joint}_flexion": 90 for side in ("left", "right") for joint in ("hip", "knee")
    }
    sitting, standing = pose(**angles), pose()
    ankles = [JOINT["left ankle"], JOINT["right ankle"]]
    np.testing.assert_allclose(sitting[ankles], standing[ankles], atol=1e-9)
    thigh = 0.215 * 1.70
    moved = (sitting - standing)[JOINT["base of spine"]]
    np.testing.assert_allclose(moved, (0, -thigh, thigh), atol=0.02)


def test_bones_keep_their_lengths_whatever_the_angles():
    rng = np.random.default_rng(0)
    curves = {(joint, "flexion"): rng.uniform(-90, 90, 20) for joint in KINECT_V2.joints}
    curves |= {(joint, "twist"): rng.uniform(-90, 90, 20) for joint in KINECT_V2.joints}
    moving = joint_positions(PERSON, curves, 20)
    for child, parent in PARENTS.items():
        length = np.linalg.norm(moving[:, child] - moving[:, parent], axis=-1)
        expected = np.linalg.norm(PERSON.offsets()[child])
        np.testing.assert_allclose(length, expected, atol=1e-12)


def test_rotation_is_right_handed():
    x, y, z = np.eye(3)
    for axis, (start, end) in enumerate(((y, z), (z, x), (x, y))):
        np.testing.assert_allclose(rotation(axis, np.pi / 2) @ start, end, atol=1e-12)
