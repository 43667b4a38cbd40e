"""Recordings without joints through Ray: store, boxes, clips, and batches of RGB alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("av", reason="PyAV is of the extra [video]")
pytest.importorskip("cv2", reason="OpenCV is of the extra [video]")

from skelray.platform.clips.tracklets import SOUND
from skelray.platform.data import caching, clip_preparation
from skelray.platform.data.annotations import write_annotations
from skelray.platform.data.clip_loading import ClipData
from skelray.platform.data.clips import ClipKind, ClipStore
from skelray.platform.data.describe import describe, protocols
from skelray.platform.data.prepare import prepare
from skelray.platform.data.protocols import find_protocol
from skelray.platform.data.source import Source, preprocessings
from skelray.platform.data.store import Store
from skelray.platform.data.summary import summary
from skelray.platform.errors import UsageError
from skelray.platform.method import Batch, ClipSpec, Inputs
from skelray.platform.preprocessing import Preprocessing
from skelray.platform.validation import check_raw
from skelray.platform.video.boxes import make_boxes
from skelray.platform.video.found import find_videos
from tests.platform.data.films import HEIGHT, SIDE, WIDTH, Videos, corner, write_films

LENGTHS = [20, 12, 30]
FRAMES, SIZE = 4, 48

pytestmark = pytest.mark.usefixtures("ray_here")


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos") / "raw"
    write_films(folder, LENGTHS)
    (folder / "recordings.csv").write_text("id,label\n000,even\n001,odd\n002,\n")
    return folder


@pytest.fixture(scope="module")
def store(raw: Path) -> Store:
    return prepare(Videos, raw, raw.parent / "videos")


def bright(frames: np.ndarray) -> list[np.ndarray]:
    """A detector: the box of what is bright."""
    found = []
    for frame in frames:
        ys, xs = np.nonzero(frame.mean(axis=-1) > 60)
        found.append(np.array([[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1, 0.99]]))
    return found


@pytest.fixture(scope="module")
def boxes(raw: Path) -> Path:
    """What `skelray boxes` makes."""
    file = raw.parent / "boxes.parquet"
    made = make_boxes(find_videos(raw), lambda: bright, file, rules=SOUND, about={})
    assert made.new == len(LENGTHS)
    return file


def clips_of(store: Store, kind: str, boxes: Path | None = None) -> ClipStore:
    return clip_preparation.prepare_clips(
        store, Videos, ClipKind.parse(kind), lambda sample: Path(sample.clip or ""), boxes=boxes
    )


def read(store: Store, clips: ClipStore, spec: ClipSpec) -> Batch:
    """All recordings, as an RGB method reads them."""
    source = Source(Videos, find_protocol(Videos, store, "all"), store, clips)
    inputs = Inputs(clip=spec)
    for preprocessing in preprocessings(inputs).values():
        caching.build(store, Videos, preprocessing)
    (cache,) = source.caches(inputs).values()
    data = source.data(inputs, torch.device("cpu"))
    assert isinstance(data, ClipData)
    batch = data.batch(source.rows(cache.index, "train"), labels=True)
    assert batch.id == ["000", "001", "002"]
    assert cache.index["label"].tolist() == [0, 1, -1]
    assert cache.index["length"].tolist() == LENGTHS
    return batch


def test_videos_are_checked_described_and_not_written_as_poses(
    raw: Path, store: Store, tmp_path: Path
) -> None:
    lines = list(check_raw(Videos, raw).lines())
    assert not any(line.startswith("error") or "coordinates" in line for line in lines)
    text = summary(describe(Videos, store), protocols(Videos, store))
    assert "videos: 3 recordings" in text and "no body" not in text
    with pytest.raises(UsageError, match="recordings of videos have no joints to write"):
        write_annotations(store, Videos, tmp_path / "videos.pkl")


def test_person_clips_are_cut_by_a_detectors_boxes(store: Store, boxes: Path) -> None:
    clips = clips_of(store, "person-64", boxes)
    assert not clips.manifest["skipped"]
    assert not clips.manifest["other_lengths"]
    for row, frames in enumerate(LENGTHS):
        corners = corner(row, frames)
        middle = (corners.min(axis=0) + corners.max(axis=0) + SIDE) / 2
        left, top, right, bottom = clips.columns["shown"][row]
        assert np.abs(np.array([left + right, top + bottom]) / 2 - middle).max() <= 3
    batch = read(store, clips, ClipSpec(frames=FRAMES, size=SIZE, sampling="central"))
    assert batch.clip is not None and batch.clip_index is not None
    assert batch.clip.shape == (3, FRAMES, SIZE, SIZE, 3)
    for row in range(3):
        _, top, _, bottom = clips.columns["shown"][row]
        tall = (batch.clip[row, 0].float().mean(dim=-1) > 60).any(dim=1).float().mean()
        assert float(tall) == pytest.approx(SIDE / (bottom - top), abs=0.05)


def test_whole_clips_need_no_boxes(store: Store) -> None:
    clips = clips_of(store, "whole-60")
    assert clips.columns["shown"].tolist() == [[0, 0, WIDTH, HEIGHT]] * 3
    spec = ClipSpec(frames=FRAMES, size=SIZE, sampling="central", box="whole")
    batch = read(store, clips, spec)
    assert batch.clip is not None and batch.clip_index is not None and batch.clip_ok is not None
    assert batch.clip_ok.all()
    for row, t in np.ndindex(3, FRAMES):
        frame = int(batch.clip_index[row, t])
        x, y = (corner(row, LENGTHS[row])[frame] + SIDE / 2) * SIZE / np.array([WIDTH, HEIGHT])
        grey = float(batch.clip[row, t, int(y), int(x)].float().mean())
        assert grey == pytest.approx(100 + 5 * frame, abs=12)


def test_nobody_can_be_cut_without_boxes(store: Store) -> None:
    with pytest.raises(UsageError, match=r"no joints to cut persons by: give --boxes FILE.*whole-"):
        clips_of(store, "person-32")


def test_joints_of_videos_alone_are_refused(store: Store) -> None:
    with pytest.raises(UsageError, match=r"videos have no joints, which .* pose_2d reads"):
        caching.build(store, Videos, Preprocessing(name="pose_2d"))
