"""NTU RGB+D and NTU RGB+D 120: Kinect v2 skeletons of 60 and 120 actions; see README.md."""

DATASETS = {"ntu60": "dataset:NTU60", "ntu120": "dataset:NTU120"}
