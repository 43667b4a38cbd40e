"""Northwestern-UCLA Multiview Action 3D: Kinect v1 skeletons of 10 actions; see README.md."""

DATASETS = {"nwucla": "dataset:NWUCLA"}
