"""MSR-Action3D: skeletons of 20 game-like actions from a depth camera; see README.md."""

DATASETS = {"msr_action3d": "dataset:MSRAction3D"}
