"""A true NTU recording from its video to augmented clips: the joints stay on their pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("av", reason="PyAV is of the extra [video]")
pytest.importorskip("cv2", reason="OpenCV is of the extra [video]")

import cv2

from skelray.datasets.ntu.dataset import NTU60
from skelray.platform.clips.joints import to_box
from skelray.platform.clips.transforms import Clip, crop, flip, random_box
from skelray.platform.data.persons import person_square
from skelray.platform.dataset import RawItem
from skelray.platform.method import Draws
from skelray.platform.preprocessing.pose_2d import pixels
from skelray.platform.skeleton.specs import KINECT_V2
from skelray.platform.video import compress
from skelray.platform.video.reading import frames_in_order, probe, read_frames

NAME = "S001C001P001R001A001"
SIZE = 256


def colours(frames: np.ndarray, joints: np.ndarray, blur: float) -> np.ndarray:
    """(T, V, 3): what lies at the joints of blurred pictures."""
    found = []
    for frame, places in zip(frames, joints, strict=True):
        smooth = cv2.GaussianBlur(frame.astype(np.float32), (0, 0), blur)
        x, y = places.T.astype(np.float32)[:, None]
        found.append(cv2.remap(smooth, x - 0.5, y - 0.5, cv2.INTER_LINEAR)[0])
    return np.stack(found)


def test_joints_of_a_true_recording_stay_on_their_pixels(
    shared: Callable[[str], Path], tmp_path: Path
) -> None:
    raw = shared("data/ntu_sample")
    item = RawItem(NAME, str(raw / f"{NAME}.skeleton"))
    (sample,) = NTU60().read(item)
    sample = replace(sample, height=1080, width=1920)
    video = raw / f"{NAME}_rgb.avi"
    assert sample.clip == str(video)
    assert probe(video).frames == sample.frames
    box = person_square(sample, NTU60.skeleton, 1080, 1920)
    compress.crop(video, tmp_path / "a.mp4", box=box, size=SIZE)
    chosen = np.arange(0, sample.frames, 12)
    frames, replaced = read_frames(tmp_path / "a.mp4", chosen)
    assert replaced == 0
    at = pixels(sample, NTU60.skeleton)[chosen]  # one body a frame
    joints = torch.from_numpy(at)[None, None]
    joints = to_box(joints, torch.tensor([box]), torch.tensor([SIZE, SIZE]))
    clip = Clip(frames=torch.from_numpy(frames)[None], joints=joints)
    draws = Draws(0, 0, torch.arange(1))
    cut = crop(clip, random_box(draws, SIZE), 224)
    mirrored = flip(cut, torch.tensor([True]), KINECT_V2.left_right)
    assert mirrored.joints is not None

    originals = [f.to_ndarray(format="rgb24") for f in frames_in_order(video)]
    sources = np.stack([originals[t] for t in chosen])
    scale = (box[2] - box[0]) / SIZE
    expected = colours(sources, at, blur=4 * scale)
    swapped = np.arange(25)
    for left, right in KINECT_V2.left_right:
        swapped[[left, right]] = right, left
    found_at = mirrored.joints[0, 0].numpy()
    inside = ((found_at > 8) & (found_at < 216)).all(axis=-1)
    found = colours(mirrored.frames[0].numpy(), found_at, blur=4)
    distance = np.abs(found - expected[:, swapped]).mean(axis=-1)[inside]
    assert inside.mean() > 0.8
    assert np.median(distance) < 4
    # joints that were not mirrored with their pictures lie on other things
    assert cut.joints is not None
    wrong = colours(mirrored.frames[0].numpy(), cut.joints[0, 0].numpy(), blur=4)
    assert np.median(np.abs(wrong - expected).mean(axis=-1)) > 12
    _save(tmp_path / "joints.png", mirrored)


def _save(path: Path, clip: Clip) -> None:
    """Pictures side by side with their joints, to be looked at."""
    assert clip.joints is not None
    shown = clip.frames[0, :6].clamp(0, 255).to(torch.uint8).numpy().copy()
    for picture, joints in zip(shown, clip.joints[0, 0].numpy(), strict=False):
        for x, y in joints:
            cv2.circle(picture, (int(x), int(y)), 2, (255, 0, 0), -1)
    cv2.imwrite(str(path), np.concatenate(shown, axis=1)[..., ::-1])
