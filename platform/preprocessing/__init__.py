"""From a stored sample to what a family of methods reads: pure, NumPy only, cached."""

from skelray.platform.preprocessing import (  # noqa: F401 - each registers its family
    body_centred,
    denoised,
    energy_ranked,
    no_joints,
    pose_2d,
)
from skelray.platform.preprocessing.spec import Preprocessed, Preprocessing, register

__all__ = ["Preprocessed", "Preprocessing", "register"]
