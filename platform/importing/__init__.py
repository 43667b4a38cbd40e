"""Recordings of one's own as they lie on disk: a folder of array files and a table of labels."""

from skelray.platform.importing.folder import ArrayFolder

__all__ = ["ArrayFolder"]
