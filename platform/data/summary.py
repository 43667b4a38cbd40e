"""The description of a data set as plain text: tables that read the same in a pipe."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from skelray.platform.data import inventory
from skelray.platform.data.clips import ClipStore
from skelray.platform.data.describe import STATES, Description
from skelray.platform.data.parts import UNKNOWN
from skelray.platform.data.store import Store
from skelray.platform.dataset import Protocol
from skelray.platform.errors import DataError
from skelray.platform.tables import aligned, size_text

_QUANTILES = {"shortest": 0.0, "5 %": 0.05, "median": 0.5, "95 %": 0.95, "longest": 1.0}
_REASONS = 5  # of skipped recordings, the most frequent
_LINE = 96  # characters
_VARIES = re.compile(r"\S*[/\\]\S*|'[^']*'|\d+(\.\d+)?")  # paths, quoted values, numbers


def summary(description: Description, protocols: Sequence[Protocol]) -> str:
    """All tables, a blank line between two; parts are counted for these splits."""
    sections = [
        list(_head(description)),
        [*aligned(_lengths(description)), *_rates(description)],
        list(aligned(_bodies(description))) if description.dataset.joints else [],
        list(_joints(description)),
        list(_clips(description.store)),
        [*aligned(_classes(description)), *_absent(description)],
        *([*_numbers(description, name)] for name in ("subject", "camera", "setup")),
        [*aligned(_parts(description, protocols)), "holdout lies inside train"],
    ]
    return "\n\n".join("\n".join(lines) for lines in sections if lines)


def _head(description: Description) -> Iterator[str]:
    store, skipped = description.store, description.store.manifest["skipped"]
    yield f"{description.dataset.name}: {len(description):,} recordings, {len(skipped):,} skipped"
    yield f"{store.path} ({size_text(inventory.folder_size(store.path))}, version {store.version})"
    yield from (f"  {line}" for line in skipped_lines(skipped, store.path))


def _clips(store: Store) -> Iterator[str]:
    """What clips there are of this store, and what they lack."""
    for entry in inventory.clips():
        if entry.path.parent.name != store.path.name or not entry.finished:
            continue
        try:
            clips = inventory.open_clips(entry.path)
        except DataError as error:
            yield f"clips {entry.path.name}: {error}"
            continue
        yield f"{clips_line(clips)} ({size_text(entry.size)}, version {clips.version})"
        yield from (f"  {line}" for line in lacking_lines(clips))


def clips_line(clips: ClipStore) -> str:
    """How many clips there are, and where."""
    return f"{len(clips):,} clips in {clips.path}"


def lacking_lines(clips: ClipStore) -> Iterator[str]:
    """What recordings have no clip and why, and how many have one of another length."""
    yield from skipped_lines(clips.manifest["skipped"], clips.path)
    if others := clips.manifest["other_lengths"]:
        name, said = next(iter(others.items()))
        yield f"{len(others):,} clips are not as long as their poses: {name}, {said}"


def skipped_lines(skipped: Mapping[str, str], store: Path) -> Iterator[str]:
    """What was left out: the most frequent kinds of reasons, an example and a number for each."""
    reasons = _reasons(skipped)
    for name, count in list(reasons.items())[:_REASONS]:
        like = f" (and {count - 1:,} like it)" if count > 1 else ""
        yield f"skipped {name}: {skipped[name]}{like}"
    if further := sum(list(reasons.values())[_REASONS:]):
        yield f"{further:,} more are skipped"
    if skipped:
        yield f"{len(skipped):,} skipped in all; reasons in {store / 'manifest.json'}"


def _reasons(skipped: Mapping[str, str]) -> dict[str, int]:
    """First recording of each kind of reason -> how many were skipped for it, the most first.

    Reasons are of one kind that differ in paths, quoted values and numbers only.
    """
    first: dict[str, str] = {}
    counts: dict[str, int] = {}
    for name, reason in skipped.items():
        example = first.setdefault(_VARIES.sub("", reason.replace(name, "")), name)
        counts[example] = counts.get(example, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def _lengths(description: Description) -> Iterator[list[str]]:
    frames, fps = description.column("frames"), description.column("fps")
    yield ["length", *_QUANTILES, "total"]
    spread = np.quantile(frames, list(_QUANTILES.values()))
    yield ["frames", *(f"{value:,.0f}" for value in spread), f"{frames.sum():,}"]
    known = fps > 0
    if len(seconds := frames[known] / fps[known]):
        spread = np.quantile(seconds, list(_QUANTILES.values()))
        hours = f"{seconds.sum() / 3600:,.2f} h"
        yield ["seconds", *(f"{value:,.1f}" for value in spread), hours]


def _rates(description: Description) -> Iterator[str]:
    fps = description.column("fps")
    known = fps[fps > 0]
    for rate, count in zip(*np.unique(known, return_counts=True), strict=True):
        yield f"{count:,} recordings at {rate:g} frames a second"
    if len(known) < len(fps):
        yield f"{len(fps) - len(known):,} recordings of unknown frame rate"


def _bodies(description: Description) -> Iterator[list[str]]:
    of_frames, most = description.counts.frames, description.column("bodies")
    rows = {
        "no body": (of_frames[0], description.column("empty") > 0),
        "two or more bodies": (of_frames[2:].sum(), most >= 2),
        "three or more bodies": (of_frames[3], most >= 3),
    }
    yield ["", "frames", "%", "recordings", "%"]
    for label, (frames, recordings) in rows.items():
        share = _share(int(np.count_nonzero(recordings)), len(description))
        yield [label, *_share(frames, of_frames.sum()), *share]


def _joints(description: Description) -> Iterator[str]:
    counts = description.counts
    if total := counts.joints.sum():
        shares = (f"{_percent(n, total)} % {s}" for n, s in zip(counts.joints, STATES, strict=True))
        yield f"joints: {', '.join(shares)}"
    if counts.scores:
        zero = _percent(counts.score_zero, counts.scores)
        mean = counts.score_sum / counts.scores
        yield f"joint scores: {mean:.3f} on average, {zero} % are 0"


def _classes(description: Description) -> Iterator[list[str]]:
    tally, total = description.tally("label"), len(description)
    yield ["class", "label", "recordings", "%"]
    for label, name in enumerate(description.dataset.classes):
        if label in tally:
            yield [name, str(label), *_share(tally[label], total)]
    if UNKNOWN in tally:
        yield ["(unlabelled)", "", *_share(tally[UNKNOWN], total)]


def _absent(description: Description) -> Iterator[str]:
    """Names the classes of which there is no recording."""
    tally, classes = description.tally("label"), description.dataset.classes
    if absent := [name for label, name in enumerate(classes) if label not in tally]:
        line = f"no recording of {len(absent)} of {len(classes)} classes: {', '.join(absent)}"
        yield textwrap.shorten(line, _LINE, placeholder=" …")


def _numbers(description: Description, name: str) -> Iterator[str]:
    """Recordings by subject, camera or setup: as many `value: count` on a line as fit."""
    tally = dict(description.tally(name))
    unknown = tally.pop(UNKNOWN, 0)
    if not tally:
        yield f"no recording names its {name}"
        return
    yield f"{name}s: {len(tally):,} (number: recordings)"
    cells = [f"{value}: {count:,}" for value, count in tally.items()]
    width = max(map(len, cells)) + 3
    for start in range(0, len(cells), _LINE // width):
        line = cells[start : start + _LINE // width]
        yield "  " + "".join(cell.ljust(width) for cell in line).rstrip()
    if unknown:
        yield f"  {unknown:,} recordings name none"


def _parts(description: Description, protocols: Sequence[Protocol]) -> Iterator[list[str]]:
    yield ["protocol", "train", "holdout", "test"]
    for protocol in protocols:
        counts = (description.part(protocol, part) for part in ("train", "holdout", "test"))
        yield [protocol.name, *(f"{count:,}" for count in counts)]


def _share(count: int, total: int) -> list[str]:
    return [f"{count:,}", _percent(count, total)]


def _percent(count: int, total: int) -> str:
    return f"{100 * count / total:.1f}"
