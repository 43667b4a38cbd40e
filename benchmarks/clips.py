"""Clips per second and core: `python benchmarks/clips.py`.

40 frames, one of each of 40 equal bins, of generated recordings of about 110 frames drawn at NTU's
1920 x 1080 pixels, made small in both ways: squares of 256 pixels around the persons, and whole
pictures of 540 lines, which are cut and resized to 256 after decoding. Against reading every frame
of the same files in order and keeping 40. Nothing else should run meanwhile.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import measure
import numpy as np
import torch

from skelray.datasets.synthetic.dataset import Synthetic
from skelray.platform.clips.sampling import random_frames
from skelray.platform.data.persons import person_square
from skelray.platform.dataset import SkeletonSample
from skelray.platform.method import Draws
from skelray.platform.video.compress import Compressed, compress, crop
from skelray.platform.video.cropping import Box, cut, resized
from skelray.platform.video.reading import pictures_in_order, read_frames

LENGTH, SIZE, LINES = 40, 256, 540
CLIPS = 8

Film = tuple[Path, Box, int]  # what is read, what of its pictures, its frames


def made(folder: Path) -> tuple[list[Film], list[Film]]:
    """The same recordings as crops of persons and as whole pictures."""
    data, raw = Synthetic(), folder / "raw"
    data.generate(raw, size="tiny", seed=0)
    people, whole = [], []
    for item in data.discover(raw).items[:: 64 // CLIPS][:CLIPS]:
        video = data.render(raw, item.id, size="tiny", seed=0, height=1080)
        (sample,) = data.read(item)
        sample: SkeletonSample = replace(sample, height=1080, width=1920)
        box = person_square(sample, data.skeleton, 1080, 1920)
        one = crop(video, folder / f"{item.id}-person.mp4", box=box, size=SIZE)
        people.append((folder / f"{item.id}-person.mp4", (0, 0, SIZE, SIZE), one.frames))
        one = compress(video, folder / f"{item.id}-whole.mp4", short_side=LINES)
        whole.append((folder / f"{item.id}-whole.mp4", _smaller(box, one), one.frames))
        video.unlink()
    return people, whole


def _smaller(box: Box, video: Compressed) -> Box:
    left, top, right, bottom = (round(side * video.height / video.source_height) for side in box)
    return left, top, right, bottom


def chosen(films: list[Film]) -> list[np.ndarray]:
    """(40,) frame numbers of each film."""
    count = torch.tensor([frames for _, _, frames in films])
    draws = Draws(0, 0, torch.arange(len(films)))
    return list(random_frames(count, LENGTH, draws, "clip").numpy())


def pick(film: Film, frames: np.ndarray) -> np.ndarray:
    """Decodes what is needed."""
    path, box, _ = film
    return resized(cut(read_frames(path, frames)[0], box), SIZE)


def pick_by_pyav(film: Film, frames: np.ndarray) -> np.ndarray:
    """The same, by the other library."""
    path, box, _ = film
    return resized(cut(read_frames(path, frames, "pyav")[0], box), SIZE)


def in_order(film: Film, frames: np.ndarray) -> np.ndarray:
    """Decodes everything."""
    path, box, _ = film
    every = np.stack(list(pictures_in_order(path)))
    return resized(cut(every[frames], box), SIZE)


def reading(
    how: Callable[[Film, np.ndarray], np.ndarray], films: list[Film], threads: int = 1
) -> Callable[[], object]:
    """Reads all films, `threads` at once."""
    pool, frames = ThreadPoolExecutor(threads), chosen(films)
    return lambda: list(pool.map(how, films, frames))


def main() -> None:
    """Measures and prints."""
    parser = measure.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    given = parser.parse_args()
    cores = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as folder:
        people, whole = made(Path(folder))
        contestants = {
            "crops, frames needed": partial(reading, pick, people),
            "crops, all in order": partial(reading, in_order, people),
            "whole, frames needed": partial(reading, pick, whole),
            "whole, all in order": partial(reading, in_order, whole),
            f"crops, {cores} threads": partial(reading, pick, people, cores),
            "crops, PyAV": partial(reading, pick_by_pyav, people),
            "whole, PyAV": partial(reading, pick_by_pyav, whole),
            f"crops, PyAV, {cores} threads": partial(reading, pick_by_pyav, people, cores),
        }
        medians = measure.compete(contestants, given.rounds)
        sizes = [sum(path.stat().st_size for path, *_ in films) for films in (people, whole)]
    for name, median in medians.items():
        print(f"  {name:22s} {CLIPS / median:7.1f} clips/s")
    print(
        f"  crops take {sizes[0] / CLIPS / 1000:.0f} kB a clip, whole pictures "
        f"{sizes[1] / CLIPS / 1000:.0f} kB"
    )
    first = medians["crops, frames needed"]
    measure.conclude(
        given,
        {
            "crops: frames needed / all in order": medians["crops, all in order"] / first,
            "whole: frames needed / all in order": medians["whole, all in order"]
            / medians["whole, frames needed"],
            "crops / whole pictures": medians["whole, frames needed"] / first,
            f"{cores} threads / one": first / medians[f"crops, {cores} threads"],
            "crops: PyAV / decord": first / medians["crops, PyAV"],
            "whole: PyAV / decord": medians["whole, frames needed"] / medians["whole, PyAV"],
            f"PyAV, {cores} threads / one": medians["crops, PyAV"]
            / medians[f"crops, PyAV, {cores} threads"],
        },
    )


if __name__ == "__main__":
    main()
