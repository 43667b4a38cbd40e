"""Recordings that the project makes itself, in NTU's own file formats."""

DATASETS = {"synthetic": "dataset:Synthetic", "synthetic_2d": "dataset:Synthetic2D"}
