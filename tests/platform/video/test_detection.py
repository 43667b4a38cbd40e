"""Detectors see the frames of a video in order, few at a time, and their mistakes are named."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av", reason="PyAV is of the extra [video]")

from skelray.platform.clips.tracklets import AS_PUBLISHED, person_boxes
from skelray.platform.errors import DataError, UsageError
from skelray.platform.video import detection
from skelray.platform.video.detection import (
    detect,
    detections,
    load_detector,
)
from skelray.platform.video.reading import UnreadableVideo
from skelray.platform.video.writing import write_video

HEIGHT, WIDTH = 240, 320


def frame(left: int | None) -> np.ndarray:
    """A dark picture with a bright person of 80 x 120 whose left edge is given, or with nobody."""
    picture = np.full((HEIGHT, WIDTH, 3), 20, np.uint8)
    if left is not None:
        picture[60:180, left : left + 80] = (230, 200, 180)
    return picture


class BrightArea:
    """A detector: the bright rectangle; counts what it is called with."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def __call__(self, frames: np.ndarray) -> list[np.ndarray]:
        assert frames.dtype == np.uint8 and frames.shape[1:] == (HEIGHT, WIDTH, 3)
        assert frames[..., 0].mean() >= frames[..., 2].mean()  # red first
        self.calls.append(len(frames))
        return [self.boxes(picture) for picture in frames]

    def boxes(self, picture: np.ndarray) -> np.ndarray:
        y, x = np.nonzero(picture.mean(axis=-1) > 110)
        faint = [0, 0, 200, 200, 0.5]  # not above a half
        if not len(x):
            return np.array([faint])
        return np.array([faint, [x.min(), y.min(), x.max() + 1, y.max() + 1, 0.9]])


LEFTS = [None, *range(40, 140, 10), None, None]


@pytest.fixture
def walk(tmp_path: Path) -> Path:
    path = tmp_path / "walk.mp4"
    write_video(path, [frame(left) for left in LEFTS], rate=30)
    return path


def test_the_boxes_of_a_video(walk: Path) -> None:
    detector = BrightArea()
    boxes = detect(walk, detector, chunk=5)
    assert detector.calls == [5, 5, 3]
    assert boxes.shape == (13, 5) and boxes.dtype == np.float32
    lefts = np.array([40, *range(40, 140, 10), 130, 130])
    expected = np.stack([lefts, lefts * 0 + 60, lefts + 80, lefts * 0 + 180], axis=1)
    np.testing.assert_allclose(boxes[:, :4], expected, atol=2)
    np.testing.assert_allclose(boxes[:, 4], 0.9, rtol=1e-6)
    published = detect(walk, detector, rules=AS_PUBLISHED)
    assert detector.calls[3:] == [13]
    assert published[0, 0] == published[-1, 0] == published[-3, 0]  # the last box, at the start too


def test_all_detections_are_there_with_the_size_of_the_picture(walk: Path) -> None:
    found = detections(walk, BrightArea(), chunk=4)
    assert found.picture == (HEIGHT, WIDTH)
    assert [len(boxes) for boxes in found.frames] == [1, *[2] * 10, 1, 1]
    boxes = person_boxes(found.frames, picture=found.picture)
    np.testing.assert_array_equal(boxes, detect(walk, BrightArea()))


def test_few_frames_are_in_memory_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    alive: weakref.WeakSet[Picture] = weakref.WeakSet()
    read = 0

    class Picture(np.ndarray):
        """A decoded frame that a set of weak references can hold."""

        __hash__ = object.__hash__  # type: ignore[assignment]

    def pictures(path: Path) -> Iterator[Picture]:
        nonlocal read
        for _ in range(1000):
            picture = np.zeros((4, 6, 3), np.uint8).view(Picture)
            alive.add(picture)
            read += 1
            yield picture

    most = []

    def detector(frames: np.ndarray) -> list[np.ndarray]:
        detected = sum(n for n, _ in most)
        assert read == detected + len(frames)  # nothing is read ahead
        most.append((len(frames), len(alive)))
        return [np.zeros((0, 5))] * len(frames)

    monkeypatch.setattr(detection, "pictures_in_order", pictures)
    assert not detect(Path("long.mp4"), detector, chunk=16).any()
    assert [n for n, _ in most] == [16] * 62 + [8]
    assert max(n for _, n in most) <= 32


def returning(results: object) -> Callable[[np.ndarray], list[np.ndarray]]:
    return lambda frames: results  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("results", "said"),
    [
        ([np.zeros((1, 5))] * 12, "returned 12 results, expected a list of 13"),
        (np.zeros((13, 1, 5)), "returned ndarray, expected a list of 13"),
        (None, "returned NoneType, expected a list of 13"),
        ([np.zeros((1, 4))] * 13, r"shape \(1, 4\), expected \(k, 5\): x1, y1, x2, y2, score"),
        ([np.zeros(5)] * 13, r"shape \(5,\), expected \(k, 5\)"),
        ([*[np.zeros((1, 5))] * 12, np.full((1, 5), np.nan)], "a number that is not finite"),
        ([[[0, 0, 9, 9, 1], [0, 0]]] * 13, "boxes are no array"),
    ],
)
def test_a_detectors_mistake_is_one_line(results: object, said: str, walk: Path) -> None:
    with pytest.raises(DataError, match=f"walk.mp4, frames 0 to 12: the detector.*{said}") as info:
        detect(walk, returning(results))
    assert not isinstance(info.value, UnreadableVideo) and "\n" not in str(info.value)


def test_a_detectors_own_error_is_not_disguised(walk: Path) -> None:
    def out_of_memory(frames: np.ndarray) -> list[np.ndarray]:
        raise OSError("of the detector")

    with pytest.raises(OSError, match=r"^of the detector$"):
        detect(walk, out_of_memory)
    with pytest.raises(ValueError, match="chunk is 0"):
        detect(walk, BrightArea(), chunk=0)


def test_videos_that_cannot_be_read(walk: Path, tmp_path: Path) -> None:
    whole = walk.read_bytes()
    damaged = tmp_path / "damaged.mp4"
    for content in (b"", b"not a video" * 100, whole[: len(whole) // 2]):
        damaged.write_bytes(content)
        with pytest.raises(UnreadableVideo, match=r"damaged.mp4 cannot be read \(.+\)$"):
            detect(damaged, BrightArea())
    with pytest.raises(UnreadableVideo, match=r"absent.mp4 cannot be read \(No such file"):
        detect(tmp_path / "absent.mp4", BrightArea())


FACTORIES = """
import numpy as np

def good():
    return lambda frames: [np.zeros((0, 5))] * len(frames)

def nothing():
    return None

def failing():
    raise RuntimeError("no weights in weights.pth")

number = 3
"""


@pytest.fixture
def factories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "toy_detectors.py").write_text(FACTORIES)
    (tmp_path / "toy_broken.py").write_text("import not_there_at_all\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in ("toy_detectors", "toy_broken"):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("factories")
def test_a_detector_is_loaded_by_name(walk: Path) -> None:
    assert not detect(walk, load_detector("toy_detectors:good")).any()


@pytest.mark.usefixtures("factories")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("toy_detectors", "give package.module:factory"),
        (":good", "give package.module:factory"),
        ("toy_absent:good", "No module named 'toy_absent'.*or name its folder in PYTHONPATH"),
        ("toy_broken:good", "No module named 'not_there_at_all'.*install it and what it imports"),
        ("toy_detectors:better", "toy_detectors has no function 'better'"),
        ("toy_detectors:number", "toy_detectors has no function 'number'"),
        ("toy_detectors:failing", "no weights in weights.pth.*without arguments"),
        ("toy_detectors:nothing", "made a NoneType, which cannot be called"),
    ],
)
def test_a_name_that_leads_to_no_detector(name: str, said: str) -> None:
    with pytest.raises(UsageError, match=f"^detector '?{name}'?: .*{said}") as info:
        load_detector(name)
    assert "\n" not in str(info.value)
