"""Whether the libraries for video are there."""

from __future__ import annotations

from importlib.util import find_spec

from skelray.platform.errors import UsageError


def _there(library: str) -> bool:
    try:
        return find_spec(library) is not None
    except ValueError:  # it was imported, and is in pieces
        return False


def require_video() -> None:
    """UsageError where one of the libraries for video is not installed."""
    for library in ("av", "cv2", "decord"):
        if not _there(library):
            raise UsageError(
                f"RGB needs {library}, which is not installed: pip install 'skelray[video]'"
            )
