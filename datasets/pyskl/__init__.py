"""Annotation pickles of pyskl and mmaction2: 2D and 3D poses of NTU RGB+D; see README.md."""

DATASETS = {
    "ntu60_hrnet": "dataset:NTU60HRNet",
    "ntu120_hrnet": "dataset:NTU120HRNet",
    "ntu60_3danno": "dataset:NTU60Kinect",
    "ntu120_3danno": "dataset:NTU120Kinect",
}
