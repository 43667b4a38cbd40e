"""MSR-Action3D: names, the ten recordings that papers leave out, and the real archive."""

from __future__ import annotations

import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from skelray.datasets.msr_action3d.dataset import EXCLUDED, MSRAction3D
from skelray.platform.data.store import check_sample
from skelray.platform.dataset import RawItem, SkeletonSample
from skelray.platform.errors import DataError
from skelray.platform.registry import load_dataset

FRAME = "0.1 0.2 2.5 1.0\n" * 20


def read(item: RawItem) -> SkeletonSample:
    """The one sample of an item."""
    (sample,) = MSRAction3D().read(item)
    return sample


@pytest.fixture(scope="module")
def real(shared: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked real archive."""
    folder = tmp_path_factory.mktemp("msr_action3d")
    with tarfile.open(shared("data/msr_action3d.tar.xz")) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def samples(real: Path) -> list[SkeletonSample]:
    """The recordings of the real archive."""
    return [read(item) for item in MSRAction3D().discover(real).items]


def test_registered() -> None:
    assert load_dataset("msr_action3d") is MSRAction3D
    assert len(MSRAction3D.classes) == 20 and len(EXCLUDED) == 10


def test_discover(tmp_path: Path) -> None:
    names = ("b/a20_s10_e03_skeleton3D", "a/a20_s10_e02_skeleton3D", "a/a01_s01_e01_skeleton3D")
    wrong = (
        "a01_s01_e01",
        "a01_s01_e01_skeleton",
        "a21_s01_e01_skeleton3D",
        "a01_s11_e01_skeleton3D",
    )
    for name in (*names, *wrong):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.txt").write_text(FRAME)
    found = MSRAction3D().discover(tmp_path)
    assert [(item.id, item.path) for item in found.items] == [
        ("a01_s01_e01", f"{tmp_path}/a/a01_s01_e01_skeleton3D.txt"),
        ("a20_s10_e02", f"{tmp_path}/a/a20_s10_e02_skeleton3D.txt"),
    ]
    assert found.skipped == {
        "a01_s01_e01.txt": "the name is not aAA_sSS_eEE_skeleton3D.txt",
        "a01_s01_e01_skeleton.txt": "the name is not aAA_sSS_eEE_skeleton3D.txt",
        "a21_s01_e01_skeleton3D.txt": "action 21 is not one of msr_action3d's 1 to 20",
        "a01_s11_e01_skeleton3D.txt": "subject 11 is not one of msr_action3d's 1 to 10",
        "b/a20_s10_e03_skeleton3D.txt": "not in the list of 557 files that papers use",
    }


def test_read_from_a_zip_archive(tmp_path: Path) -> None:
    archive = tmp_path / "skeletons.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("real/a20_s10_e02_skeleton3D.txt", FRAME * 3)
    (item,) = MSRAction3D().discover(archive).items
    sample = read(item)
    check_sample(sample, MSRAction3D)
    assert (sample.id, sample.label, sample.subject) == ("a20_s10_e02", 19, 10)
    assert (sample.replication, sample.fps, sample.frames) == (2, 15.0, 3)
    assert sample.xyz[2, 19].tolist() == np.float32([0.1, 0.2, 2.5]).tolist()
    assert sample.camera is None and sample.setup is None and sample.joint_state is None


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a01_s01_e01_skeleton3D.txt"
    path.write_text(FRAME + "0.1 0.2\n")
    (item,) = MSRAction3D().discover(tmp_path).items
    with pytest.raises(DataError) as caught:
        read(item)
    assert str(caught.value) == f"{path}, line 21: expected 4 numbers, found 2"


def test_protocol() -> None:
    protocol = MSRAction3D.protocol("cross_subject")
    assert (protocol.name, protocol.field) == ("xsub", "subject")
    assert protocol.train == {1, 3, 5, 7, 9} and protocol.holdout < protocol.train


def test_real_list_of_files(real: Path) -> None:
    """What is found is the owners' list; what is left out has its reason."""
    listed = (real / "real_world_coordinates/files_used_in_cvpr12_paper.txt").read_text().split()
    found = MSRAction3D().discover(real)
    assert [item.id for item in found.items] == sorted(listed) and len(listed) == 557
    reasons = Counter(found.skipped.values())
    assert reasons == {
        "not in the list of 557 files that papers use": 10,
        "the name is not aAA_sSS_eEE_skeleton3D.txt": 1,
    }


def test_real_recordings(real: Path, samples: list[SkeletonSample]) -> None:
    """Sizes of the published split, and numbers against a reader of its own."""
    protocol = MSRAction3D.protocol("xsub")
    train = [sample for sample in samples if sample.subject in protocol.train]
    assert (len(train), len(samples) - len(train)) == (284, 273)
    held = [sample.label for sample in train if sample.subject in protocol.holdout]
    assert len(held) == 57 and set(held) == set(range(20))
    assert {sample.label for sample in samples} == set(range(20))
    for sample in samples[::40]:
        path = real / f"real_world_coordinates/{sample.id}_skeleton3D.txt"
        numbers = np.float32([line.split() for line in path.read_text().splitlines()])
        numbers = numbers.reshape(-1, 20, 4)
        assert np.array_equal(sample.xyz, numbers[..., :3])
        assert np.array_equal(sample.score, numbers[..., 3])
    without = {s.id: int((s.frame_bodies == 0).sum()) for s in samples if 0 in s.frame_bodies}
    assert len(without) == 13 and {name[:3] for name in without} == {"a13", "a20"}
    assert without["a20_s02_e03"] == 33 and without["a13_s02_e03"] == 12
    for sample in samples:
        check_sample(sample, MSRAction3D)
        assert 0.3 < np.linalg.norm(sample.xyz[:, 2] - sample.xyz[:, 6], axis=-1).max() < 0.7


def test_real_damaged_recordings(real: Path) -> None:
    """Outside the list, but readable by whoever asks: one is nothing but zeros."""
    folder = real / "real_world_coordinates"
    empty = RawItem("a13_s09_e02", str(folder / "a13_s09_e02_skeleton3D.txt"))
    with pytest.raises(DataError, match=r"e02_skeleton3D\.txt, line 1: all 38 frames are zeros"):
        read(empty)
    longest = read(RawItem("a13_s09_e03", str(folder / "a13_s09_e03_skeleton3D.txt")))
    assert longest.frame_bodies.tolist() == [1] * 196 + [0] * 740


def test_real_actions_are_told_apart(samples: list[SkeletonSample]) -> None:
    """1-NN between the halves of the subjects: labels and joints belong together (chance: 5 %)."""
    moments = np.linspace(0, 1, 20)
    features = np.stack(
        [
            (sample.xyz - sample.xyz[:, 6:7])[np.rint(moments * (len(sample.xyz) - 1)).astype(int)]
            for sample in samples
        ]
    ).reshape(len(samples), -1)
    labels = np.array([sample.label for sample in samples])
    odd = np.array([(sample.subject or 0) % 2 == 1 for sample in samples])
    distances = ((features[~odd, None] - features[None, odd]) ** 2).sum(axis=-1)
    right = labels[odd][distances.argmin(axis=1)] == labels[~odd]
    assert 0.65 < right.mean() < 0.75
