"""skelray: one Ray-based platform for self-supervised learning on skeleton (and RGB) video."""

__version__ = "0.1.0"
