import dataclasses
import pickle

import pytest

from skelray.platform.errors import UsageError
from skelray.platform.skeleton.spec import SkeletonSpec
from skelray.platform.skeleton.specs import (
    COCO,
    KINECT_V1,
    KINECT_V2,
    MSR_ACTION3D,
    SKELETONS,
    SMARTHOME13,
    SMARTHOME15,
    get_skeleton,
)

ARM = {
    "name": "arm",
    "joints": ("left shoulder", "right shoulder", "neck", "left hand"),
    "edges": ((0, 2), (1, 2), (3, 0)),
    "bone_pairs": ((0, 2), (1, 2), (2, 2), (3, 0)),
    "left_right": ((0, 1),),
    "parts": {"torso": (0, 1, 2), "left_arm": (3,)},
    "shoulders": (0, 1),
}


def test_small_spec_properties():
    spec = SkeletonSpec(**ARM)
    assert spec.n_joints == 4
    assert spec.parents == (2, 2, 2, 0)
    assert spec.flip == (1, 0, 2, 3)
    assert (spec.centre, spec.root, spec.spine, spec.unit) == (None, None, None, "metre")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"joints": ("a", "a", "b", "c")}, r"arm: joint names occur twice: \['a'\]"),
        ({"edges": ((0, 2), (1, 2), (4, 0))}, r"edges names joints \[4\] outside 0..3"),
        ({"edges": ((0, 2), (1, 2))}, r"edges do not connect joints \[3\] with joint 0"),
        ({"edges": ((0, 2), (2, 0), (1, 2), (3, 0))}, r"pairs twice: \[\(0, 2\)\]"),
        ({"edges": ((0, 2), (1, 1), (1, 2), (3, 0))}, r"self loops: \[\(1, 1\)\]"),
        ({"bone_pairs": ((0, 2), (1, 2), (2, 2))}, r"bone_pairs .* missing: \[3\]"),
        ({"bone_pairs": (*ARM["bone_pairs"], (3, 1))}, r"more than once: \[3\]"),
        ({"bone_pairs": ((0, 0), (1, 2), (2, 2), (3, 0))}, r"one joint .* not \[0, 2\]"),
        ({"bone_pairs": ((0, 3), (1, 2), (2, 2), (3, 0))}, "joint 0 run in a circle"),
        ({"left_right": ((0, 1), (1, 3))}, r"left_right holds joints \[1\] more than once"),
        ({"shoulders": (1, 0)}, r"shoulders \(1, 0\) must be one of the left_right pairs"),
        ({"parts": {"torso": (0, 1, 2)}}, r"parts must hold each joint once; .* missing: \[3\]"),
        ({"parts": {"torso": (0, 1, 2, 7)}}, r"parts\['torso'\] names joints \[7\]"),
        ({"centre": -1}, r"centre names joints \[-1\]"),
        ({"spine": (2, 9)}, r"spine names joints \[9\]"),
        ({"dimensions": 4}, "dimensions is 4"),
        ({"unit": ""}, "unit is empty"),
    ],
)
def test_contradictions_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        SkeletonSpec(**(ARM | change))


@pytest.mark.parametrize("spec", SKELETONS.values(), ids=SKELETONS)
def test_every_skeleton_is_consistent_with_its_joint_names(spec):
    mirrored = [spec.joints[joint] for joint in spec.flip]
    swap = {"left": "right", "right": "left"}
    for name, other in zip(spec.joints, mirrored, strict=True):
        side, _, rest = name.partition(" ")
        assert other == (f"{swap[side]} {rest}" if side in swap else name)
    for part, joints in spec.parts.items():
        side, limb = part.split("_") if "_" in part else (None, part)
        for joint in joints:
            assert side is None or spec.joints[joint].startswith(side)
            assert (limb == "leg") <= any(
                word in spec.joints[joint] for word in ("hip", "knee", "ankle", "foot")
            )
    assert pickle.loads(pickle.dumps(spec)) == spec
    assert hash(spec) == hash(dataclasses.replace(spec))


def test_every_bone_is_an_edge_except_cocos_hips():
    for spec in SKELETONS.values():
        edges = {frozenset(edge) for edge in spec.edges}
        loose = [b for b in spec.bone_pairs if b[0] != b[1] and frozenset(b) not in edges]
        assert loose == ([(11, 0), (12, 0)] if spec is COCO else [])


def test_kinect_v2_as_published():
    parents = [1, 20, 20, 2, 20, 4, 5, 6, 20, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18, 20, 22, 7]
    assert KINECT_V2.parents == (*parents, 24, 11)
    assert KINECT_V2.joints[20] == "spine at shoulders" and KINECT_V2.centre == 20
    assert KINECT_V2.joints[8] == "right shoulder" and KINECT_V2.shoulders == (4, 8)
    # AimCLR's permutation for its spatial flip
    flip = [0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 16, 17, 18, 19, 12, 13, 14, 15, 20, 23, 24]
    assert KINECT_V2.flip == (*flip, 21, 22)


def test_msr_action3d_is_kinect_v1_in_another_order():
    alias = {"neck": "shoulder centre"}
    order = [KINECT_V1.joints.index(alias.get(name, name)) for name in MSR_ACTION3D.joints]
    assert sorted(order) == list(range(20))
    moved = {frozenset((order[v], order[w])) for v, w in MSR_ACTION3D.edges}
    assert moved == {frozenset(edge) for edge in KINECT_V1.edges}
    assert [order[p] for p in MSR_ACTION3D.parents] == [KINECT_V1.parents[j] for j in order]
    assert order[MSR_ACTION3D.centre] == KINECT_V1.centre
    assert order[MSR_ACTION3D.root] == KINECT_V1.root


def test_two_dimensional_and_derived_skeletons():
    assert (COCO.n_joints, COCO.dimensions, COCO.unit, COCO.centre) == (17, 2, "pixel", None)
    assert (SMARTHOME13.n_joints, SMARTHOME13.joints[12]) == (13, "head")
    assert SMARTHOME15.joints[:2] == ("head", "left shoulder")
    assert SMARTHOME15.joints[13:] == ("neck", "mid hip")
    assert SMARTHOME15.flip == (0, *(2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11), 13, 14)


def test_get_skeleton_lists_the_known_names():
    assert get_skeleton("kinect_v2") is KINECT_V2
    with pytest.raises(UsageError, match=r"unknown skeleton 'kinect'.*coco, kinect_v1, kinect_v2"):
        get_skeleton("kinect")
