"""Files in the owners' layout with drawn videos, to batches in which joints lie on the figure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("av", reason="PyAV is of the extra [video]")
pytest.importorskip("cv2", reason="OpenCV is of the extra [video]")

import cv2

from skelray.datasets.smarthome.dataset import CLASSES, CROSS_VIEW_CLASSES, Smarthome
from skelray.datasets.smarthome.parser import HEIGHT, WIDTH, parse_poses
from skelray.datasets.synthetic.faults import Tracked
from skelray.datasets.synthetic.recordings import members
from skelray.datasets.synthetic.smarthome_layout import write_smarthome
from skelray.platform.clips.joints import joints_in_clip
from skelray.platform.config import resolve
from skelray.platform.data import caching
from skelray.platform.data.source import Source
from skelray.platform.method import ClipSpec, Inputs
from skelray.platform.preparation import prepare_clips, prepare_dataset
from skelray.platform.preprocessing import Preprocessing
from skelray.platform.skeleton.specs import SMARTHOME15
from skelray.platform.video.writing import write_video

FRAMES, SIZE = 6, 128
POSE = Preprocessing(name="pose_2d")
TAKEPILLS, WATCHTV = 1, 3  # the second is none of the 19 cross-view classes
LOST = 2  # videos

pytestmark = pytest.mark.usefixtures("ray_here")


def draw(path: Path, tracked: Tracked) -> None:
    """A video of white figures on black, of the poses that were written before it."""
    file = path.parent.parent / "json" / f"{path.stem}.json"
    poses = parse_poses(file.read_bytes(), path.stem)
    bodies = iter(np.rint(poses.color_xy).astype(int).tolist())
    pictures = []
    for count in poses.frame_bodies:
        picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        for _ in range(count):
            joints = next(bodies)
            for v, w in SMARTHOME15.edges:
                cv2.line(picture, joints[v], joints[w], (255, 255, 255), 9)
        pictures.append(picture)
    assert len(pictures) == tracked.xyz.shape[1]
    write_video(path, pictures, rate=20, options={"preset": "ultrafast"})


@pytest.fixture(scope="module")
def clips(ray_here: None, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Store and clips of two actions of two subjects before three cameras."""
    raw = tmp_path_factory.mktemp("smarthome")
    recordings = [
        one
        for one in members("4-subjects")
        if one.subject < 3 and one.replication == 1 and one.action in (TAKEPILLS, WATCHTV)
    ]
    write_smarthome(raw, recordings, video=draw)
    names = sorted(raw.glob("mp4/Takepills_p03*.mp4"))
    names[0].unlink()
    names[1].write_bytes(b"no video")
    assert prepare_dataset("smarthome", raw).manifest["samples"] == 12
    made = prepare_clips("smarthome", f"person-{SIZE}")
    assert set(made.manifest["skipped"]) == {name.stem for name in names[:LOST]}
    assert not made.manifest["other_lengths"]


def opened(protocol: str) -> Source:
    data = ["dataset=smarthome", f"protocol={protocol}", f"clips=person-{SIZE}"]
    config = resolve("skeletonclr", "nwucla", [f"data.{one}" for one in data])
    return Source.open(config.data)


@pytest.mark.parametrize("box", ["recording", "joints", "whole"])
def test_joints_lie_on_the_figure(clips: None, box: str) -> None:
    source = opened("cs")
    caching.build(source.store, Smarthome, POSE)
    spec = ClipSpec(frames=FRAMES, size=SIZE, sampling="central", box=box, joints="pose")  # type: ignore[arg-type]
    inputs = Inputs(skeletons={"pose": POSE}, clip=spec)
    index = source.caches(inputs)["pose"].index
    rows = np.concatenate([source.rows(index, part) for part in ("train", "test")])
    assert len(rows) == 12 - LOST
    batch = source.data(inputs, torch.device("cpu")).batch(rows, labels=True)
    assert batch.clip is not None and batch.clip_ok is not None and batch.label is not None
    assert batch.clip_ok.all()
    assert [CLASSES[label] for label in batch.label] == [id.partition("_")[0] for id in batch.id]
    joints = joints_in_clip(batch, "pose")[:, 0]  # (N, T, V, 2) of the first person
    there = (joints != 0).all(dim=-1) & (joints > 0).all(dim=-1) & (joints < SIZE).all(dim=-1)
    grey = batch.clip.float().mean(dim=-1)
    n, t, _ = torch.nonzero(there, as_tuple=True)
    x, y = joints[there].long().T
    assert there.float().mean() > 0.8
    assert (grey[n, t, y, x] > 128).float().mean() > 0.97
    # elsewhere is little: neither other frames' nor mirrored joints would lie on the figure
    assert (grey > 128).float().mean() < 0.2
    assert (grey[n, t, y, SIZE - 1 - x] > 128).float().mean() < 0.6


@pytest.mark.parametrize(("protocol", "cameras"), [("cv1", {1}), ("cv2", {1, 3})])
def test_cross_view_batches_have_nineteen_classes(
    clips: None, protocol: str, cameras: set[int]
) -> None:
    source = opened(protocol)
    caching.build(source.store, Smarthome, POSE)
    assert source.classes == CROSS_VIEW_CLASSES
    spec = ClipSpec(frames=FRAMES, size=SIZE, sampling="central")
    inputs = Inputs(skeletons={"pose": POSE}, clip=spec)
    index = source.caches(inputs)["pose"].index
    for part, expected in (("train", cameras), ("test", {2})):
        rows = source.rows(index, part)  # type: ignore[arg-type]
        batch = source.data(inputs, torch.device("cpu")).batch(rows, labels=True)
        assert set(batch.camera.tolist()) == expected
        assert batch.label is not None and batch.clip is not None
        assert {CROSS_VIEW_CLASSES[label] for label in batch.label} == {"Takepills"}
        assert batch.clip.amax() > 200
