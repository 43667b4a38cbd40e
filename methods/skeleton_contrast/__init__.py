"""Skeleton-Contrast: representations of a skeleton that find each other; see README.md."""

METHODS = {"skeleton_contrast": "skeleton_contrast:SkeletonContrast"}
