"""Toyota Smarthome: names, protocols, labels, clips, and recordings in the owners' layout."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from skelray.datasets.smarthome.dataset import (
    CLASSES,
    CROSS_VIEW_CLASSES,
    RecordingName,
    Smarthome,
)
from skelray.datasets.synthetic.faults import Tracked
from skelray.datasets.synthetic.recordings import members, record
from skelray.datasets.synthetic.smarthome_layout import LENS, clip_name, write_smarthome
from skelray.platform.data.parts import Part, labels_under, rows_of
from skelray.platform.data.store import check_sample
from skelray.platform.dataset import Protocol, RawItem, SkeletonSample
from skelray.platform.errors import DataError
from skelray.platform.registry import load_dataset
from skelray.platform.skeleton.specs import KINECT_V2, SMARTHOME15
from skelray.platform.validation import check_raw

SUBJECTS = (2, 3, 4, 6, 7, *range(9, 21), 25)
CV1, CV2 = (Smarthome.protocol(name) for name in ("cv1", "CV2"))


def read(raw: Path) -> list[SkeletonSample]:
    dataset = load_dataset("smarthome")()
    return [sample for item in dataset.discover(raw).items for sample in dataset.read(item)]


def rows(protocol: Protocol, part: Part) -> list[tuple[int, int, int]]:
    """(subject, camera, class) of all there could be, in a part of a protocol."""
    index = np.array([(s, c, k) for s in (*SUBJECTS, 99) for c in range(1, 8) for k in range(31)])
    subject, camera, label = index.T
    label = labels_under(label, CLASSES, protocol)
    columns = {"subject": subject, "camera": camera, "label": label}
    return [tuple(row) for row in index[rows_of(columns, protocol, part)].tolist()]


def test_the_classes_are_the_publications() -> None:
    assert (len(CLASSES), len(CROSS_VIEW_CLASSES)) == (31, 19)
    assert set(CROSS_VIEW_CLASSES) < set(CLASSES)
    numbered = {"Cook.Cleandishes": 0, "Enter": 12, "Leave": 15, "Usetelephone": 27, "WatchTV": 30}
    assert all(CLASSES[number] == name for name, number in numbered.items())
    numbered = {"Cutbread": 0, "Enter": 7, "Usetablet": 16, "Usetelephone": 17, "Walk": 18}
    assert all(CROSS_VIEW_CLASSES[number] == name for name, number in numbered.items())


def test_cross_subject() -> None:
    protocol = Smarthome.protocol("cs")
    train, test = rows(protocol, "train"), rows(protocol, "test")
    assert {subject for subject, _, _ in train} == {3, 4, 6, 7, 9, 12, 13, 15, 17, 19, 25}
    assert {subject for subject, _, _ in test} == {2, 10, 11, 14, 16, 18, 20}
    assert {subject for subject, _, _ in rows(protocol, "holdout")} == {19, 25}
    assert {label for _, _, label in train} == {label for _, _, label in test} == set(range(31))


@pytest.mark.parametrize(("protocol", "cameras"), [(CV1, {1}), (CV2, {1, 3, 4, 6, 7})])
def test_cross_view_goes_by_camera_and_leaves_twelve_classes_out(
    protocol: Protocol, cameras: set[int]
) -> None:
    train, test = rows(protocol, "train"), rows(protocol, "test")
    assert {camera for _, camera, _ in train} == cameras
    assert {camera for _, camera, _ in test} == {2}  # camera 5 validates: it is in neither
    assert {CLASSES[label] for _, _, label in train} == set(CROSS_VIEW_CLASSES)
    assert {CLASSES[label] for _, _, label in test} == set(CROSS_VIEW_CLASSES)
    held = {subject for subject, _, _ in rows(protocol, "holdout")}
    assert held == {4, 12, 18} and set(rows(protocol, "holdout")) < set(train)
    assert Smarthome.classes_under(protocol) == CROSS_VIEW_CLASSES


def test_names() -> None:
    name = RecordingName.parse("Cook.Cut_p03_r00_v02_c07")
    assert name == ("Cook.Cut", 3, 0, 2, 7)
    for wrong in (
        "Cook.Cut_p3_r00_v02_c07",
        "Cook.Cut_p03_r00_v02_c07_x",
        "Cut",
        "Cut_p03_r00_v02",
    ):
        assert RecordingName.parse(wrong) is None


def test_what_is_left_out_and_why(tmp_path: Path) -> None:
    for name in (
        "Enter_p02_r00_v01_c01.json",
        "Enter_p02_r00_v01_c01_pose3d.json",
        "Enter_p02_r00_v02_c01.json",
        "Walk_p02_r00_v01_c01_pose3d.json",
        "Pour.Fromcup_p02_r00_v01_c01.json",
        "Dance_p02_r00_v01_c01.json",
        "labels.json",
        "notes.txt",
    ):
        (tmp_path / name).write_bytes(b"{}")
    found = Smarthome().discover(tmp_path)
    assert [(item.id, Path(item.path).name) for item in found.items] == [
        ("Enter_p02_r00_v01_c01", "Enter_p02_r00_v01_c01_pose3d.json"),
        ("Enter_p02_r00_v02_c01", "Enter_p02_r00_v02_c01.json"),
        ("Walk_p02_r00_v01_c01", "Walk_p02_r00_v01_c01_pose3d.json"),
    ]
    assert found.skipped == {
        "Enter_p02_r00_v01_c01.json": "the refined Enter_p02_r00_v01_c01_pose3d.json is taken",
        "Pour.Fromcup_p02_r00_v01_c01.json": "Pour.Fromcup is none of the 31 classes",
        "Dance_p02_r00_v01_c01.json": "activity 'Dance' is not one of smarthome's",
        "labels.json": "the name is not ACTIVITY_pPP_rRR_vVV_cCC.json or …_pose3d.json",
    }


@pytest.mark.parametrize("name", ["Enter", "Dance_p02_r00_v01_c01", "Pour.Fromcup_p02_r00_v01_c01"])
def test_another_name_is_refused(name: str) -> None:
    with pytest.raises(DataError, match=rf"{name}\.json: "):
        next(Smarthome().read(RawItem(name, f"{name}.json")))


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every action once or more, in the owners' layout, with a few empty videos."""
    folder = tmp_path_factory.mktemp("smarthome")

    def video(path: Path, tracked: Tracked) -> None:
        if path.name.startswith("Walk"):
            path.touch()

    write_smarthome(folder, members("tiny"), seed=1, video=video)
    return folder


def test_made_recordings_are_read_as_they_were_made(raw: Path) -> None:
    samples = {sample.id: sample for sample in read(raw)}
    assert len(samples) == len(members("tiny")) == 64
    for recording in members("tiny")[:20]:
        tracked, sample = record(recording, 1), samples[clip_name(recording)]
        check_sample(sample, Smarthome)
        assert sample.frame_bodies.tolist() == [len(bodies) for bodies in tracked.listed]
        places = [(body, t) for t, bodies in enumerate(tracked.listed) for body in bodies]
        given = np.stack([tracked.xyz[place] for place in places])  # (B, 25, 3)
        for joint, name in enumerate(SMARTHOME15.joints[:13]):
            expected = given[:, KINECT_V2.joints.index(name)]
            np.testing.assert_allclose(sample.xyz[:, joint], expected, atol=1e-5)
            pixels = LENS.project(expected)
            np.testing.assert_allclose(sample.color_xy[:, joint], pixels, atol=1e-2)
        assert (sample.width, sample.height, sample.fps) == (640, 480, None)


def test_names_give_label_subject_and_camera(raw: Path) -> None:
    samples = {sample.id: sample for sample in read(raw)}
    sample = samples["Sitdown_p19_r01_v01_c03"]
    known = (sample.label, sample.subject, sample.replication, sample.camera, sample.setup)
    assert known == (CLASSES.index("Sitdown"), 19, 1, 3, None)
    assert sample.clip is None
    walk = samples["Walk_p02_r01_v01_c03"]
    assert walk.clip == str(raw / "mp4" / "Walk_p02_r01_v01_c03.mp4")


def test_clips_are_found_beside_the_poses_or_their_archive(tmp_path: Path) -> None:
    chosen = members("tiny")[:1]
    write_smarthome(tmp_path / "flat", chosen)
    name = f"{clip_name(chosen[0])}.mp4"
    (tmp_path / "flat/json" / name).touch()
    (flat,) = read(tmp_path / "flat")
    assert flat.clip == str(tmp_path / "flat/json" / name)

    folder = tmp_path / "zipped"
    (folder / "mp4").mkdir(parents=True)
    (folder / "mp4" / name).touch()
    with zipfile.ZipFile(folder / "skeletons.zip", "w") as archive:
        for file in (tmp_path / "flat/json").glob("*.json"):
            archive.write(file, f"deep/{file.name}")
    (zipped,) = read(folder)
    assert zipped.clip == str(folder / "mp4" / name)
    np.testing.assert_array_equal(zipped.xyz, flat.xyz)


def test_the_made_layout_passes_the_check(raw: Path) -> None:
    assert check_raw(Smarthome, raw).count("error") == 0


def test_the_made_layout_fills_the_protocols() -> None:
    recordings = members("18-subjects")
    assert len({clip_name(recording) for recording in recordings}) == len(recordings)
    names = [RecordingName.parse(clip_name(recording)) for recording in recordings]
    columns = {
        "subject": np.array([name.subject for name in names]),
        "camera": np.array([name.camera for name in names]),
    }
    label = np.array([CLASSES.index(name.activity) for name in names])
    for protocol in Smarthome.protocols:
        index = columns | {"label": labels_under(label, CLASSES, protocol)}
        sizes = {part: len(rows_of(index, protocol, part)) for part in ("train", "test", "holdout")}
        assert sizes["train"] > sizes["holdout"] > 0 and sizes["test"] > 0
