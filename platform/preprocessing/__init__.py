"""From a stored sample to what one family of methods reads; NumPy only, pure, cached once per data set."""

from skelray.platform.preprocessing import body_centred  # noqa: F401 - registers the family
from skelray.platform.preprocessing.spec import Preprocessed, Preprocessing, register

__all__ = ["Preprocessed", "Preprocessing", "register"]
