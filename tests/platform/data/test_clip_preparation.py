"""From videos to clip stores through Ray: what they show, what is left out, what is made again."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("av", reason="PyAV is of the extra [video]")
pytest.importorskip("cv2", reason="OpenCV is of the extra [video]")

from skelray.platform.data import caching, clip_preparation
from skelray.platform.data.boxes import VideoBoxes, write_boxes
from skelray.platform.data.clip_loading import ClipData, ClipLoader
from skelray.platform.data.clip_reading import ClipReader
from skelray.platform.data.clips import ClipKind, ClipStore, clips_path
from skelray.platform.data.loading import Sampling
from skelray.platform.data.prepare import prepare
from skelray.platform.data.store import Store
from skelray.platform.data.streaming import StreamingLoader
from skelray.platform.dataset import SkeletonSample
from skelray.platform.errors import DataError, UsageError
from skelray.platform.method import ClipSpec
from skelray.platform.preprocessing import Preprocessing
from skelray.platform.video.found import find_videos
from skelray.platform.video.reading import frames_in_order
from tests.platform.data.films import HEIGHT, SIDE, WIDTH, Films, damage, write_films

LENGTHS = [20, 12, 30, 16, 24, 18]
MISSING, DAMAGED, LONGER = "001", "003", "004"
PERSON = ClipKind("person", 64)

pytestmark = pytest.mark.usefixtures("ray_here")


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films") / "raw"
    write_films(folder, LENGTHS)
    (folder / f"{MISSING}_rgb.avi").unlink()
    whole = (folder / f"{DAMAGED}_rgb.avi").read_bytes()
    (folder / f"{DAMAGED}_rgb.avi").write_bytes(whole[: len(whole) // 2])
    (folder / f"{LONGER}.film").write_text("22")  # poses end before the video does
    return folder


@pytest.fixture(scope="module")
def store(raw: Path) -> Store:
    return prepare(Films, raw, raw.parent / "store")


@pytest.fixture(scope="module")
def clips(store: Store) -> ClipStore:
    return prepare_clips(store, PERSON)


def prepare_clips(store: Store, kind: ClipKind, folder: Path | None = None) -> ClipStore:
    """Of the videos below `folder`, or of those that the recordings name."""
    by_id = find_videos(folder) if folder else {}

    def find(sample: SkeletonSample) -> Path | None:
        return by_id.get(sample.id) if folder else Path(sample.clip or "")

    return clip_preparation.prepare_clips(store, Films, kind, find)


def test_missing_and_damaged_videos_are_listed(clips: ClipStore) -> None:
    assert clips.columns["id"].tolist() == ["000", "002", "004", "005"]
    assert clips.manifest["clips"] == len(clips) == 4
    assert set(clips.manifest["skipped"]) == {MISSING, DAMAGED}
    assert "is not there" in clips.manifest["skipped"][MISSING]
    assert f"{DAMAGED}_rgb.avi" in clips.manifest["skipped"][DAMAGED]
    assert clips.manifest["other_lengths"] == {LONGER: "24 frames, poses of 22"}
    assert clips.rows(np.array(["004", MISSING, "000"])).tolist() == [2, -1, 0]


def test_clips_show_the_square_around_the_joints(clips: ClipStore) -> None:
    row = 0
    assert clips.columns["frames"][row] == LENGTHS[0]
    assert clips.columns["rate"][row] == 30
    assert (clips.columns["source_height"][row], clips.columns["source_width"][row]) == (
        HEIGHT,
        WIDTH,
    )
    # joints at 1 and at 3 * 19 + 40 = 97 across; half of 96 * 1.25 around (49, 50)
    box = clips.columns["shown"][row]
    assert np.abs(box - [-11, -10, 109, 110]).max() <= 1
    np.testing.assert_array_equal(box, clips.columns["person"][row])
    frames = [frame.to_ndarray(format="rgb24") for frame in frames_in_order(clips.file(row))]
    assert len(frames) == LENGTHS[0]
    assert frames[0].shape == (64, 64, 3)
    scale = 64 / (box[2] - box[0])
    for t in (0, 10, 19):
        x, y = (np.array([3 * t + SIDE / 2, 30 + SIDE / 2]) - box[:2]) * scale
        assert frames[t][int(y), int(x)].mean() == pytest.approx(100 + 5 * t, abs=8)
        assert frames[t][int(y + scale * SIDE * 0.7), int(x)].mean() < 40  # below the square


def test_whole_pictures_keep_their_shape(store: Store) -> None:
    clips = prepare_clips(store, ClipKind("whole", 60))
    assert (clips.columns["height"] == 60).all()
    assert (clips.columns["width"] == 100).all()
    assert clips.columns["shown"][0].tolist() == [0, 0, WIDTH, HEIGHT]
    assert clips.columns["person"][0].tolist() != [0, 0, WIDTH, HEIGHT]


def test_finished_clips_are_only_opened_and_others_made_again(
    store: Store, clips: ClipStore, raw: Path
) -> None:
    made = {row: clips.file(row).stat().st_mtime_ns for row in range(len(clips))}
    assert prepare_clips(store, PERSON).version == clips.version
    (clips.path / "manifest.json").write_text("{")  # as after an interruption
    clips.file(1).write_bytes(b"after a power cut")
    clips.file(2).unlink()
    again = prepare_clips(store, PERSON)
    assert again.version == clips.version
    now = {row: again.file(row).stat().st_mtime_ns for row in range(len(again))}
    assert [row for row in made if now[row] != made[row]] == [1, 2]


def test_videos_may_lie_elsewhere(store: Store, raw: Path, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    shutil.copy(raw / "000_rgb.avi", tmp_path / "deep" / f"{MISSING}_rgb.avi")
    clips = prepare_clips(store, ClipKind("person", 32), tmp_path)
    assert MISSING in clips.columns["id"].tolist()
    assert clips.manifest["other_lengths"][MISSING] == "20 frames, poses of 12"


def test_a_clip_of_another_version_is_refused(store: Store, clips: ClipStore) -> None:
    with pytest.raises(
        DataError, match=r"made of other recordings.*prepare store --clips person-64"
    ):
        ClipStore.open(clips.path, "another")
    with pytest.raises(
        DataError, match=r"no clips at .*: run `skelray prepare store --clips person-30"
    ):
        ClipStore.open(clips_path(store.path, ClipKind("person", 30)), store.version)


def test_a_detectors_boxes_replace_the_joints(store: Store, tmp_path: Path) -> None:
    boxes = np.zeros((20, 5), np.float32)
    boxes[4:, :4] = (100, 60, 180, 140)  # of pictures twice as large as the video
    found = {
        "000": VideoBoxes(boxes, 2 * HEIGHT, 2 * WIDTH),
        "002": VideoBoxes(boxes * 0, 240, 400),
    }
    write_boxes(tmp_path / "boxes.parquet", found, about={})
    clips = clip_preparation.prepare_clips(
        store,
        Films,
        ClipKind("person", 40),
        lambda sample: Path(sample.clip or ""),
        boxes=tmp_path / "boxes.parquet",
    )
    assert clips.columns["id"].tolist() == ["000", "002"]
    assert clips.columns["person"].tolist() == [[45, 25, 95, 75], [0, 0, WIDTH, HEIGHT]]
    assert "has none of 004" in clips.manifest["skipped"]["004"]
    again = prepare_clips(store, ClipKind("person", 40))  # by joints now
    assert len(again) == 4
    assert again.version != clips.version
    assert again.columns["person"][0].tolist() != [45, 25, 95, 75]


@pytest.mark.parametrize("name", ["person", "person-0", "head-20", "person-255", "whole-"])
def test_kinds_that_are_none_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="name person-SIZE or whole-SIZE"):
        ClipKind.parse(name)
    assert str(ClipKind.parse("whole-540")) == "whole-540"


def test_streamed_clips_equal_those_decoded_in_threads(
    store: Store, clips: ClipStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(clips.path, tmp_path / "clips")
    clips = replace(clips, path=tmp_path / "clips")
    damage(clips.file(1))
    clips.file(2).unlink()
    pose = Preprocessing(name="pose_2d", parameters={"persons": 1})
    caches = {"pose": caching.build(store, Films, pose)}
    ids = caches["pose"].index["id"]
    spec = ClipSpec(frames=4, size=32, box="joints", joints="pose")
    rows = np.flatnonzero(clips.rows(ids) >= 0)
    sampling = Sampling(rows=rows, seed=5, batch=2, last="drop")
    reader, cpu = ClipReader(clips, spec, ids), torch.device("cpu")
    data = ClipData(caches, reader, cpu, "host")
    here = [*ClipLoader(data, sampling, in_flight=8)(epoch=3)]
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert any("002.mp4" in line and "of 4 frames are replaced" in line for line in said)
    assert any("004.mp4" in line and "counts as black" in line for line in said)
    caplog.clear()
    reader = ClipReader(clips, spec, ids)  # one that has said nothing yet
    there = [
        *StreamingLoader(caches, sampling, cpu, clips=reader, decoders=2, in_flight=8)(epoch=3)
    ]
    again = [record.getMessage() for record in caplog.records]
    assert [line for line in again if ".mp4" in line] == said
    assert len(here) == len(there) == 2
    for (ours,), (theirs,) in zip(here, there, strict=True):
        assert ours.id == theirs.id
        for name in ("clip", "clip_index", "pose_index", "clip_box", "clip_hw", "clip_ok"):
            assert torch.equal(getattr(ours, name), getattr(theirs, name)), name
    with pytest.raises(UsageError, match="frames_in_flight=7 is less than the 8 frames"):
        StreamingLoader(caches, sampling, cpu, clips=reader, in_flight=7)
