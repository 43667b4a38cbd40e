"""Recordings of one's own as they lie on disk: a folder of arrays or videos, a table of labels."""

from skelray.platform.importing.folder import ArrayFolder
from skelray.platform.importing.videos import VideoFolder

__all__ = ["ArrayFolder", "VideoFolder"]
