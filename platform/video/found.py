"""Videos below a folder, by the recordings they belong to."""

from __future__ import annotations

from pathlib import Path

from skelray.platform.errors import DataError

VIDEOS = (".mp4", ".avi")
RGB = "_rgb"  # NTU's ending of a video's name, which its skeleton's has not


def sample_id(video: Path) -> str:
    """The file's name without its ending, and without a last `_rgb`."""
    return video.stem.removesuffix(RGB)


def find_videos(folder: Path) -> dict[str, Path]:
    """The videos below a folder by sample id; DataError where there are none or two of one id."""
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder")
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in VIDEOS or path.name.startswith(".") or not path.is_file():
            continue
        if other := found.get(sample_id(path)):
            raise DataError(f"{other} and {path} have the same id, {sample_id(path)}: rename one")
        found[sample_id(path)] = path
    if not found:
        raise DataError(f"{folder}: no {' nor '.join(f'*{ending}' for ending in VIDEOS)} below it")
    return found
