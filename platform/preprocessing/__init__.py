"""From a stored sample to what a family of methods reads: pure, NumPy only, cached."""

from skelray.platform.preprocessing import body_centred  # noqa: F401 - registers the family
from skelray.platform.preprocessing.spec import Preprocessed, Preprocessing, register

__all__ = ["Preprocessed", "Preprocessing", "register"]
