"""The skeletons of the supported sensors and pose estimators. Joint numbers are 0-based."""

from __future__ import annotations

from collections.abc import Mapping

from skelray.platform.errors import UsageError
from skelray.platform.skeleton.spec import SkeletonSpec

# Kinect v2, the sensor of NTU RGB+D and PKU-MMD. Edges: LinguoLi/CrosSCLR, net/utils/graph.py,
# layout "ntu-rgb+d"; bones: the same tree, hanging from the joint between the shoulders.
_KINECT_V2_EDGES = (
    (0, 1), (1, 20), (2, 20), (3, 2), (4, 20), (5, 4), (6, 5), (7, 6), (8, 20), (9, 8), (10, 9),
    (11, 10), (12, 0), (13, 12), (14, 13), (15, 14), (16, 0), (17, 16), (18, 17), (19, 18),
    (21, 22), (22, 7), (23, 24), (24, 11),
)  # fmt: skip
KINECT_V2 = SkeletonSpec(
    name="kinect_v2",
    joints=(
        "base of spine", "mid spine", "neck", "head",
        "left shoulder", "left elbow", "left wrist", "left hand",
        "right shoulder", "right elbow", "right wrist", "right hand",
        "left hip", "left knee", "left ankle", "left foot",
        "right hip", "right knee", "right ankle", "right foot",
        "spine at shoulders", "left hand tip", "left thumb", "right hand tip", "right thumb",
    ),
    edges=_KINECT_V2_EDGES,
    bone_pairs=(*_KINECT_V2_EDGES, (20, 20)),
    left_right=(
        (4, 8), (5, 9), (6, 10), (7, 11), (12, 16), (13, 17), (14, 18), (15, 19),
        (21, 23), (22, 24),
    ),
    parts={
        "torso": (0, 1, 20),
        "head": (2, 3),
        "left_arm": (4, 5, 6, 7, 21, 22),
        "right_arm": (8, 9, 10, 11, 23, 24),
        "left_leg": (12, 13, 14, 15),
        "right_leg": (16, 17, 18, 19),
    },
    shoulders=(4, 8),
    centre=20,
    root=0,
    spine=(0, 20),
)  # fmt: skip

# Kinect v1, the sensor of N-UCLA. Edges: Levigty/AimCLR, net/utils/graph.py, layout "nw-ucla".
_KINECT_V1_EDGES = (
    (0, 1), (1, 2), (3, 2), (4, 2), (5, 4), (6, 5), (7, 6), (8, 2), (9, 8), (10, 9), (11, 10),
    (12, 0), (13, 12), (14, 13), (15, 14), (16, 0), (17, 16), (18, 17), (19, 18),
)  # fmt: skip
KINECT_V1 = SkeletonSpec(
    name="kinect_v1",
    joints=(
        "hip centre", "spine", "shoulder centre", "head",
        "left shoulder", "left elbow", "left wrist", "left hand",
        "right shoulder", "right elbow", "right wrist", "right hand",
        "left hip", "left knee", "left ankle", "left foot",
        "right hip", "right knee", "right ankle", "right foot",
    ),
    edges=_KINECT_V1_EDGES,
    bone_pairs=(*_KINECT_V1_EDGES, (2, 2)),
    left_right=((4, 8), (5, 9), (6, 10), (7, 11), (12, 16), (13, 17), (14, 18), (15, 19)),
    parts={
        "torso": (0, 1, 2),
        "head": (3,),
        "left_arm": (4, 5, 6, 7),
        "right_arm": (8, 9, 10, 11),
        "left_leg": (12, 13, 14, 15),
        "right_leg": (16, 17, 18, 19),
    },
    shoulders=(4, 8),
    centre=2,
    root=0,
    spine=(0, 2),
)  # fmt: skip

# The same 20 joints and edges in the order of MSR-Action3D's files. Its "neck" is Kinect's shoulder
# centre: it lies at the height of the shoulders.
_MSR_ACTION3D_EDGES = (
    (6, 3), (3, 2), (19, 2), (0, 2), (7, 0), (9, 7), (11, 9), (1, 2), (8, 1), (10, 8), (12, 10),
    (4, 6), (13, 4), (15, 13), (17, 15), (5, 6), (14, 5), (16, 14), (18, 16),
)  # fmt: skip
MSR_ACTION3D = SkeletonSpec(
    name="msr_action3d",
    joints=(
        "left shoulder", "right shoulder", "neck", "spine", "left hip", "right hip", "hip centre",
        "left elbow", "right elbow", "left wrist", "right wrist", "left hand", "right hand",
        "left knee", "right knee", "left ankle", "right ankle", "left foot", "right foot", "head",
    ),
    edges=_MSR_ACTION3D_EDGES,
    bone_pairs=(*_MSR_ACTION3D_EDGES, (2, 2)),
    left_right=((0, 1), (4, 5), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16), (17, 18)),
    parts={
        "torso": (2, 3, 6),
        "head": (19,),
        "left_arm": (0, 7, 9, 11),
        "right_arm": (1, 8, 10, 12),
        "left_leg": (4, 13, 15, 17),
        "right_leg": (5, 14, 16, 18),
    },
    shoulders=(0, 1),
    centre=2,
    root=6,
    spine=(6, 2),
)  # fmt: skip

# COCO's 17 key points in pixels. It has no joint on the spine. Edges and bones:
# open-mmlab/mmaction2, graph layout and bone pairs "coco" (the bones of the hips go to the nose,
# their edges to the shoulders).
COCO = SkeletonSpec(
    name="coco",
    joints=(
        "nose", "left eye", "right eye", "left ear", "right ear",
        "left shoulder", "right shoulder", "left elbow", "right elbow", "left wrist", "right wrist",
        "left hip", "right hip", "left knee", "right knee", "left ankle", "right ankle",
    ),
    edges=(
        (15, 13), (13, 11), (16, 14), (14, 12), (11, 5), (12, 6), (9, 7), (7, 5), (10, 8), (8, 6),
        (5, 0), (6, 0), (1, 0), (3, 1), (2, 0), (4, 2),
    ),
    bone_pairs=(
        (0, 0), (1, 0), (2, 0), (3, 1), (4, 2), (5, 0), (6, 0), (7, 5), (8, 6), (9, 7), (10, 8),
        (11, 0), (12, 0), (13, 11), (14, 12), (15, 13), (16, 14),
    ),
    left_right=((1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16)),
    parts={
        "torso": (5, 6, 11, 12),
        "head": (0, 1, 2, 3, 4),
        "left_arm": (7, 9),
        "right_arm": (8, 10),
        "left_leg": (13, 15),
        "right_leg": (14, 16),
    },
    shoulders=(5, 6),
    dimensions=2,
    unit="pixel",
)  # fmt: skip

# The 13 joints that LCR-Net gives for Toyota Smarthome, in its files' order, three-dimensional. It
# has no joint on the spine; that arms and trunk hang from the head is a choice of this project.
_SMARTHOME13_EDGES = (
    (0, 2), (2, 4), (4, 10), (1, 3), (3, 5), (5, 11),
    (6, 8), (8, 10), (10, 12), (7, 9), (9, 11), (11, 12),
)  # fmt: skip
SMARTHOME13 = SkeletonSpec(
    name="smarthome13",
    joints=(
        "right ankle", "left ankle", "right knee", "left knee", "right hip", "left hip",
        "right wrist", "left wrist", "right elbow", "left elbow", "right shoulder", "left shoulder",
        "head",
    ),
    edges=_SMARTHOME13_EDGES,
    bone_pairs=(*_SMARTHOME13_EDGES, (12, 12)),
    left_right=((1, 0), (3, 2), (5, 4), (7, 6), (9, 8), (11, 10)),
    parts={
        "torso": (4, 5, 10, 11),
        "head": (12,),
        "left_arm": (7, 9),
        "right_arm": (6, 8),
        "left_leg": (1, 3),
        "right_leg": (0, 2),
    },
    shoulders=(11, 10),
)  # fmt: skip

# Smarthome's joints reversed, neck and mid-hip added as midpoints of the shoulders and the hips:
# YangDi666/2s-AGCN-For-Daily-Living, data_gen/smarthome_gendata.py.
_SMARTHOME15_EDGES = (
    (0, 13), (14, 13), (7, 14), (8, 14), (9, 7), (11, 9), (10, 8), (12, 10),
    (1, 13), (3, 1), (5, 3), (2, 13), (4, 2), (6, 4),
)  # fmt: skip
SMARTHOME15 = SkeletonSpec(
    name="smarthome15",
    joints=(*reversed(SMARTHOME13.joints), "neck", "mid hip"),
    edges=_SMARTHOME15_EDGES,
    bone_pairs=(*_SMARTHOME15_EDGES, (13, 13)),
    left_right=((1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12)),
    parts={
        "torso": (13, 14),
        "head": (0,),
        "left_arm": (1, 3, 5),
        "right_arm": (2, 4, 6),
        "left_leg": (7, 9, 11),
        "right_leg": (8, 10, 12),
    },
    shoulders=(1, 2),
    centre=13,
    root=14,
    spine=(14, 13),
)  # fmt: skip

SKELETONS: Mapping[str, SkeletonSpec] = {
    spec.name: spec for spec in (KINECT_V2, KINECT_V1, COCO, SMARTHOME13, SMARTHOME15, MSR_ACTION3D)
}


def get_skeleton(name: str) -> SkeletonSpec:
    """The skeleton of that name; UsageError lists the known ones."""
    if name not in SKELETONS:
        known = ", ".join(sorted(SKELETONS))
        raise UsageError(f"unknown skeleton {name!r}: choose one of {known}")
    return SKELETONS[name]
