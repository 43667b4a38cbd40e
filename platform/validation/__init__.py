"""What is wrong with a data set: its class, its recordings one by one, and all of them together."""

from skelray.platform.validation.check import check_raw, check_store
from skelray.platform.validation.findings import Findings

__all__ = ["Findings", "check_raw", "check_store"]
