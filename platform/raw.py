"""The files of a raw folder: below it or inside zip archives as downloaded, never unpacked."""

from __future__ import annotations

import lzma
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath

from skelray.platform.errors import DataError

LARGEST = 2**28  # bytes of one recording's file: NTU's largest have 10 MB

_REASON = 200  # characters of an error's text that are shown: zipfile quotes whole headers
# what files, zipfile and its decompressors raise; ValueError: a name that is no UTF-8;
# RuntimeError: encrypted, or packed in a way that Python does not know
UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
)

# (name -> split part -> ids): splits that come with the files, beside a data set's protocols
Splits = Mapping[str, Mapping[str, Sequence[str]]]


@dataclass(frozen=True, slots=True)
class RawItem:
    """One recording to read: a file, a member of a zip archive, or an entry of either."""

    id: str
    path: str  # of the file or archive
    member: str = ""  # name inside the archive
    entry: int = 0  # position inside a file that holds many recordings
    stamp: str = ""  # changes when the content does: work done on other content is not taken over
    details: str = ""  # what a list beside the files says of it, as the data set's `read` wants it

    @property
    def where(self) -> str:
        """The place as a message names it."""
        return _shown(f"{self.path}: {self.member}" if self.member else self.path)

    def read_bytes(self) -> bytes:
        """The whole content; DataError where it cannot be read or is larger than LARGEST."""
        try:
            content = _read_member(self) if self.member else _read_file(Path(self.path))
        except UNREADABLE as error:
            reason = str(getattr(error, "strerror", None) or error)
            raise DataError(f"{self.where}: cannot be read ({reason[:_REASON]})") from None
        if len(content) > LARGEST:
            raise DataError(f"{self.where}: larger than {LARGEST} bytes, so not one recording")
        return content


@dataclass(frozen=True)
class Discovery:
    """What a raw folder holds: recordings to read, and files left out with the reason."""

    items: Sequence[RawItem]
    skipped: Mapping[str, str] = field(default_factory=dict)
    splits: Splits = field(default_factory=dict)


def discover_files(
    raw: Path,
    suffix: str | Sequence[str],
    refusal: Callable[[str], str | None],
    *,
    ending: str = "",
) -> Discovery:
    """Lists the files that end in `suffix`, sorted by id: a file's name without it and `ending`.

    `suffix` is one ending or several, in lower case. `raw` is a folder or one zip archive; archives
    in the folder are looked into. Links to files and folders are followed. `refusal(stem)`, of the
    name without the suffix alone, says why a recording does not belong, None where it does; a
    second file of the same id is left out too. Keys of `skipped` are paths below `raw`.
    """
    items: list[RawItem] = []
    skipped: dict[str, str] = {}
    suffixes = (suffix,) if isinstance(suffix, str) else tuple(suffix)
    found = [
        (replace(item, id=item.id.removesuffix(ending)), item.id)
        for item in _files(raw, suffixes, skipped)
    ]
    for item, stem in sorted(found, key=lambda one: (one[0].id, one[0].path, one[0].member)):
        reason = refusal(stem)
        if reason is None and items and items[-1].id == item.id:
            reason = f"the same recording as {items[-1].where}"
        if reason is None:
            items.append(item)
        else:
            skipped[_below(raw, item)] = reason
    return Discovery(items, skipped)


def _files(raw: Path, suffixes: Sequence[str], skipped: dict[str, str]) -> Iterator[RawItem]:
    for path in _walk(raw, skipped):
        archive = path.suffix.lower() == ".zip"
        if not archive and path.suffix.lower() not in suffixes:
            continue
        name = _below(raw, RawItem("", str(path)))
        try:
            about = path.stat()
        except OSError as error:  # a link to nowhere, or to itself
            skipped[name] = f"cannot be read ({error.strerror})"
            continue
        stamp = f"{about.st_size}-{about.st_mtime_ns}"
        if not stat.S_ISREG(about.st_mode):
            skipped[name] = "not a regular file"
        elif archive and ".zip" not in suffixes:
            yield from _members(path, stamp, suffixes, raw, skipped)
        else:
            yield RawItem(path.stem, str(path), stamp=stamp)


def _walk(raw: Path, skipped: dict[str, str]) -> Iterator[Path]:
    """All files below a folder, or the one file; a folder that is linked twice is walked once."""
    if not raw.is_dir():
        yield raw
        return

    def unreadable(error: OSError) -> None:
        skipped[_below(raw, RawItem("", error.filename))] = f"cannot be read ({error.strerror})"

    walked = set()
    for folder, below, names in os.walk(raw, onerror=unreadable, followlinks=True):
        real = os.path.realpath(folder)
        if real in walked:
            below.clear()
            continue
        walked.add(real)
        below.sort()
        yield from (Path(folder, name) for name in sorted(names))


def _members(
    path: Path, stamp: str, suffixes: Sequence[str], raw: Path, skipped: dict[str, str]
) -> Iterator[RawItem]:
    try:
        members = _archive(str(path), stamp).infolist()
    except UNREADABLE as error:
        name = _below(raw, RawItem("", str(path)))
        skipped[name] = f"not a readable zip archive ({str(error)[:_REASON]})"
        return
    for member in members:
        inside = PurePosixPath(member.filename)
        if inside.suffix.lower() not in suffixes or member.is_dir():  # one may have no name
            continue
        item = RawItem(
            inside.stem,
            str(path),
            member=member.filename,
            stamp=f"{member.CRC:08x}-{member.file_size}-{stamp}",
        )
        if reason := _suspicious(member):
            skipped[_below(raw, item)] = reason
        else:
            yield item


def _suspicious(member: zipfile.ZipInfo) -> str | None:
    """Why a member is not trusted; nothing is unpacked, but no owner publishes such a thing."""
    name = PurePosixPath(member.filename.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts:
        return "its name leads out of the archive"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "a symbolic link inside the archive"
    return None


@lru_cache(maxsize=8)
def _archive(path: str, stamp: str) -> zipfile.ZipFile:
    """An archive opened once per process: listing 57,000 members takes a second."""
    return zipfile.ZipFile(path)


def _read_member(item: RawItem) -> bytes:
    archive = _archive(item.path, item.stamp.split("-", 2)[-1])
    try:
        with archive.open(item.member) as file:
            return file.read(LARGEST + 1)
    except KeyError:
        raise DataError(f"{item.where}: no such member") from None


def _read_file(path: Path) -> bytes:
    if not stat.S_ISREG(path.stat().st_mode):
        raise DataError(f"{path}: not a regular file")
    with path.open("rb") as file:
        return file.read(LARGEST + 1)


def _below(raw: Path, item: RawItem) -> str:
    """How a skipped file is listed: below the raw folder, members after their archive."""
    path = Path(item.path)
    name = path.relative_to(raw).as_posix() if path != raw else path.name
    return _shown(f"{name}: {item.member}" if item.member else name)


def _shown(name: str) -> str:
    """A name as it fits into one line of a message; names may hold line ends."""
    return name if name.isprintable() else ascii(name)[1:-1]
