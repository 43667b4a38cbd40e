"""Clips of batches: joints lie on their pictures, budgets hold, damage is counted; without Ray."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("av", reason="PyAV is of the extra [video]")
pytest.importorskip("cv2", reason="OpenCV is of the extra [video]")

from skelray.platform.clips.joints import joints_in_clip
from skelray.platform.data.cache import Cache
from skelray.platform.data.clip_loading import ClipData, ClipLoader
from skelray.platform.data.clip_reading import ClipReader, Outcome
from skelray.platform.data.clips import ClipKind, ClipStore, file_of, write_index
from skelray.platform.data.loading import Sampling
from skelray.platform.data.persons import person_square
from skelray.platform.dataset import SkeletonSample
from skelray.platform.errors import DataError, UsageError
from skelray.platform.method import Batch, ClipSpec, key_of
from skelray.platform.paths import write_json
from skelray.platform.preprocessing import Preprocessing
from skelray.platform.video.compress import compress, crop
from tests.platform.data.films import HEIGHT, WIDTH, Films, film, pictures

LENGTHS = [20, 12, 30, 16, 24, 18, 21, 31]
SHORTER = 4  # of this film the video has two frames less than the poses
CPU = torch.device("cpu")
FRAMES, SIZE = 8, 48


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from skelray.platform.video.writing import write_video

    folder = tmp_path_factory.mktemp("videos")
    for number, frames in enumerate(LENGTHS):
        some = pictures(number, frames)[: -2 if number == SHORTER else None]
        write_video(folder / f"{number}.avi", some, rate=30, codec="mpeg4", options={"qscale": "2"})
    return folder


def measured(number: int, frames: int) -> SkeletonSample:
    """A film that says how large the pictures are in which its joints were found."""
    return replace(film(number, frames, Path()), height=2 * HEIGHT, width=2 * WIDTH)


def make_clips(folder: Path, kind: ClipKind, videos: Path) -> ClipStore:
    """A clip store without Ray."""
    rows = []
    for number, frames in enumerate(LENGTHS):
        sample, video = measured(number, frames), videos / f"{number}.avi"
        person = person_square(sample, Films.skeleton, HEIGHT, WIDTH)
        file = folder / str(kind) / file_of(sample.id)
        if kind.shows == "person":
            made = crop(video, file, box=person, size=kind.size)
        else:
            made = compress(video, file, short_side=kind.size)
        row = asdict(made)
        rows.append({"id": sample.id, "shown": row.pop("box"), "person": person, **row})
    version = write_index(folder / str(kind), rows)
    about = {"version": 1, "data_version": "films", "clips_version": version}
    write_json(folder / str(kind) / "manifest.json", about)
    return ClipStore.open(folder / str(kind), "films")


@pytest.fixture(scope="module", params=["person-96", "whole-120"])
def clips(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, videos: Path
) -> ClipStore:
    return make_clips(tmp_path_factory.mktemp("clips"), ClipKind.parse(request.param), videos)


@pytest.fixture(scope="module")
def poses() -> Cache:
    done = []
    for number, frames in enumerate(LENGTHS):
        sample = measured(number, frames)
        pose_2d = Preprocessing(name="pose_2d", parameters={"persons": 1})
        done.append(pose_2d(sample, Films.skeleton))
    ids = np.array([f"{number:03d}" for number in range(len(LENGTHS))])
    numbers = np.arange(len(LENGTHS))
    return Cache(
        path=Path(),
        index={
            "id": ids,
            "key": np.array([key_of(one) for one in ids]),
            "label": numbers % 2,
            "subject": numbers % 4,
            "camera": numbers * 0,
            "setup": numbers * 0,
            "fps": numbers * 0 + np.float32(30),
            "length": np.array(LENGTHS),
        },
        frames=np.concatenate([one.frames for one in done]),
        present=np.concatenate([one.present for one in done]),
        offsets=np.concatenate([[0], np.cumsum(LENGTHS)]),
        scalars={
            name: np.array([one.scalars[name] for one in done], np.float32)
            for name in ("height", "width")
        },
    )


def data(clips: ClipStore, poses: Cache, threads: int = 2, **spec: str) -> ClipData:
    described = ClipSpec(frames=FRAMES, size=SIZE, joints="pose", **spec)  # type: ignore[arg-type]
    reader = ClipReader(clips, described, poses.index["id"])
    return ClipData({"pose": poses}, reader, CPU, "host", threads=threads)


def loader(data: ClipData, *, in_flight: int = 1000, **changed: int) -> ClipLoader:
    settings = {"seed": 3, "batch": 3, "parts": 1, **changed}
    sampling = Sampling(rows=np.arange(len(LENGTHS)), last="drop", **settings)  # type: ignore[arg-type]
    return ClipLoader(data, sampling, in_flight=in_flight)


def equal(a: Batch, b: Batch) -> bool:
    pairs = [(getattr(a, field.name), getattr(b, field.name)) for field in fields(Batch)]
    return a.id == b.id and all(torch.equal(x, y) for x, y in pairs if isinstance(x, torch.Tensor))


@pytest.mark.parametrize("sampling", ["central", "seeded"])
@pytest.mark.parametrize("box", ["joints", "recording", "whole"])
def test_joints_lie_on_the_square_that_the_clip_shows(
    clips: ClipStore, poses: Cache, box: str, sampling: str
) -> None:
    batch = data(clips, poses, box=box, sampling=sampling).batch(np.array([2, 4, 7]), labels=True)
    assert batch.clip is not None
    assert batch.clip_ok is not None
    assert batch.clip_index is not None
    assert batch.clip.shape == (3, FRAMES, SIZE, SIZE, 3)
    assert batch.clip_ok.all()
    assert batch.label is not None
    assert torch.equal(batch.clip_index, batch.pose_index)
    assert int(batch.clip_index[1].max()) < LENGTHS[SHORTER] - 2
    joints = joints_in_clip(batch, "pose")[:, 0]  # (N, T, V, 2)
    corners = joints[:, :, :4].amin(dim=2), joints[:, :, :4].amax(dim=2)
    for n, t in np.ndindex(3, FRAMES):
        (left, top), (right, bottom) = (corner[n, t].tolist() for corner in corners)
        grey = batch.clip[n, t].float().mean(dim=-1).numpy()
        expected = 100 + 5 * int(batch.clip_index[n, t])
        middle = grey[int((top + bottom) / 2), int((left + right) / 2)]
        assert middle == pytest.approx(min(expected, 255), abs=15)  # H.264 smooths steps
        # the edges of what is bright are those of the joints, to a pixel
        bright = grey > (expected + 16) / 2
        ys, xs = np.nonzero(bright)
        clipped = [np.clip(side, 0, SIZE) for side in (left, top, right, bottom)]
        found = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
        assert np.abs(np.array(found) - clipped).max() <= 1.5, (n, t, found, clipped)


def test_random_frames_and_boxes_depend_on_nothing_but_the_recording(
    clips: ClipStore, poses: Cache
) -> None:
    whole = [*loader(data(clips, poses, box="joints"))(epoch=5)]
    assert len(whole) == 2
    assert not torch.equal(whole[0][0].clip_index, whole[0][0].pose_index)
    later = [*loader(data(clips, poses, threads=1, box="joints"), in_flight=24)(epoch=5, first=1)]
    assert equal(later[0][0], whole[1][0])
    halves = [*loader(data(clips, poses, box="joints"), parts=2)(epoch=5)]
    assert torch.equal(torch.cat([part.clip for part in halves[0]]), whole[0][0].clip)
    other = [*loader(data(clips, poses, box="joints"))(epoch=6)]
    assert not torch.equal(other[0][0].clip_index, whole[0][0].clip_index)


def test_the_budget_of_frames_is_respected(
    clips: ClipStore, poses: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, most = 0, []
    begin, finish = ClipData.begin, ClipData.finish

    def begun(self: ClipData, *given: object) -> object:
        nonlocal now
        pending = begin(self, *given)  # type: ignore[arg-type]
        now += pending.frames
        most.append(now)
        return pending

    def finished(self: ClipData, pending: object, **given: bool) -> Batch:
        nonlocal now
        now -= pending.frames  # type: ignore[attr-defined]
        return finish(self, pending, **given)  # type: ignore[arg-type]

    monkeypatch.setattr(ClipData, "begin", begun)
    monkeypatch.setattr(ClipData, "finish", finished)
    for budget in (16, 31, 48, 1000):
        most.clear()
        batches = [*loader(data(clips, poses), in_flight=budget, batch=2)(epoch=0)]
        assert len(batches) == 4
        assert max(most) == min(budget // 16 * 16, 64)
    with pytest.raises(UsageError, match=r"frames_in_flight=15 is less than the 16 frames of one"):
        loader(data(clips, poses), in_flight=15, batch=2)
    loader(data(clips, poses), in_flight=15, batch=2, parts=2)


def test_leaving_an_epoch_ends_its_decoding(
    clips: ClipStore, poses: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode, begun = ClipReader._decode, []

    def slow(self: ClipReader, row: int, *given: object) -> Outcome:
        begun.append(row)
        time.sleep(0.1)
        return decode(self, row, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(ClipReader, "_decode", slow)
    of = data(clips, poses, threads=1)
    epoch = loader(of, batch=1)(epoch=0)
    next(epoch)
    epoch.close()  # type: ignore[attr-defined]
    of.pool.shutdown(wait=True)
    assert len(begun) <= 3  # the first, what was being decoded, and one that began meanwhile


@pytest.fixture
def damaged(tmp_path: Path, videos: Path) -> ClipStore:
    clips = make_clips(tmp_path, ClipKind("person", 96), videos)
    clips.file(0).write_bytes(b"no video")
    clips.file(1).unlink()
    return clips


def test_damaged_clips_are_black_counted_and_named(
    damaged: ClipStore, poses: Cache, caplog: pytest.LogCaptureFixture
) -> None:
    of = data(damaged, poses, sampling="central")
    with caplog.at_level(logging.WARNING):
        batch = of.finish(of.begin(np.array([0, 1, 2]), None), labels=False)
        of.finish(of.begin(np.array([1, 2]), None), labels=False)
    assert len(batch) == 3
    assert batch.clip is not None
    assert batch.clip_ok is not None
    assert batch.clip_ok.tolist() == [False, False, True]
    assert not batch.clip[:2].any()
    assert batch.clip[2].any()
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert any("000.mp4" in line for line in said)
    assert any("001.mp4" in line and "No such file" in line for line in said)
    with pytest.raises(DataError, match=r"no clip of a batch of 2 can be read: .*000.mp4"):
        of.finish(of.begin(np.array([0, 1]), None), labels=False)
    with pytest.raises(DataError, match=r"000.mp4 .*: prepare the clips again"):
        of.batch(np.array([0, 2]), labels=False)  # an evaluation


def test_a_joint_far_away_asks_for_no_box_of_a_thousand_pictures(
    clips: ClipStore, poses: Cache
) -> None:
    frames = poses.frames.copy()
    frames[:, 0, 3] = (30000, 3e38)
    batch = data(clips, replace(poses, frames=frames), box="joints", sampling="central").batch(
        np.array([0, 1]), labels=False
    )
    assert batch.clip_box is not None
    sides = batch.clip_box[:, 2:] - batch.clip_box[:, :2]
    assert float(sides.max()) < 5 * WIDTH


def test_recordings_without_a_clip_are_refused_by_number(clips: ClipStore, poses: Cache) -> None:
    spec = ClipSpec(frames=FRAMES, size=SIZE, sampling="central")
    ids = np.array([*poses.index["id"][:-1], "unknown"])
    reader = ClipReader(clips, spec, ids)
    with pytest.raises(DataError, match="1 recordings of a batch have no clip"):
        reader.plan(torch.tensor([0, 7]), None, None)
