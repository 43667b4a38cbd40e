"""Recordings that the project makes itself, in NTU's own file format."""

DATASETS = {"synthetic": "dataset:Synthetic"}
