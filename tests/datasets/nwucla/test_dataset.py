"""N-UCLA from hand-made JSON files, damaged ones, and a part of the real archive."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skelray.datasets.nwucla.dataset import NWUCLA
from skelray.platform.dataset import RawItem, SkeletonSample
from skelray.platform.errors import DataError
from skelray.platform.registry import load_dataset

SHARED = Path(os.environ.get("SKELRAY_SHARED", Path(__file__).parents[3] / ".." / "shared"))
NAME = "a08_s03_e02_v01"


def frames(number: int) -> list[list[list[float]]]:
    """Coordinates that tell frame, joint and axis apart."""
    return [[[t + v / 100 + c / 1000 for c in range(3)] for v in range(20)] for t in range(number)]


def write(folder: Path, name: str = NAME, **changes: Any) -> RawItem:
    """Writes a recording with some keys changed; None removes a key."""
    content = {"file_name": name, "skeletons": frames(4), "label": 7} | changes
    path = folder / f"{name}.json"
    path.write_text(json.dumps({k: value for k, value in content.items() if value is not None}))
    return RawItem(name, str(path))


def read(item: RawItem) -> SkeletonSample:
    """The one sample of an item."""
    (sample,) = NWUCLA().read(item)
    return sample


def test_registered() -> None:
    assert load_dataset("nwucla") is NWUCLA


def test_read(tmp_path: Path) -> None:
    sample = read(write(tmp_path))
    assert sample.id == NAME
    assert (sample.label, sample.subject, sample.replication, sample.camera) == (6, 3, 2, 1)
    assert sample.frame_bodies.tolist() == [1, 1, 1, 1] and sample.frame_bodies.dtype == np.int32
    assert sample.xyz.shape == (4, 20, 3) and sample.xyz.dtype == np.float32
    assert sample.xyz[2, 19].tolist() == [float(np.float32(x)) for x in frames(3)[2][19]]
    assert sample.setup is None and sample.fps is None and sample.clip is None


def test_zero_joints_are_kept(tmp_path: Path) -> None:
    skeletons = frames(2)
    skeletons[1][:6] = [[0.0, 0.0, 0.0]] * 6
    sample = read(write(tmp_path, skeletons=skeletons))
    assert sample.frame_bodies.tolist() == [1, 1]
    assert (sample.xyz[1] == 0).all(axis=-1).sum() == 6


def test_discover(tmp_path: Path) -> None:
    for name in (
        "b/a12_s01_e00_v03",
        "a/a01_s10_e00_v01",
        "c/a01_s10_e00_v01",
        "a/a07_s01_e00_v01",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.json").touch()
    (tmp_path / "nwucla_split.json").touch()
    found = NWUCLA().discover(tmp_path)
    assert [(item.id, item.path) for item in found.items] == [
        ("a01_s10_e00_v01", f"{tmp_path}/a/a01_s10_e00_v01.json"),
        ("a12_s01_e00_v03", f"{tmp_path}/b/a12_s01_e00_v03.json"),
    ]
    assert found.skipped == {
        "a/a07_s01_e00_v01.json": "action 7 is not one of nwucla's",
        "c/a01_s10_e00_v01.json": f"the same recording as {tmp_path}/a/a01_s10_e00_v01.json",
        "nwucla_split.json": "the name is not aAA_sSS_eEE_vVV.json",
    }


NO_BODY = [[[float("nan")] * 3] * 20]
DAMAGED: dict[str, tuple[dict[str, Any], str]] = {
    "no key file_name": ({"file_name": None}, "the key 'file_name' is missing"),
    "no key skeletons": ({"skeletons": None}, "the key 'skeletons' is missing"),
    "no key label": ({"label": None}, "the key 'label' is missing"),
    "another name": ({"file_name": "a08_s03_e02_v02"}, f"expected '{NAME}'"),
    "another label": ({"label": 8}, "label is 8, expected 7 for this action"),
    "label is the action's number less one": ({"label": 6}, "label is 6, expected 7"),
    "label is text": ({"label": "7"}, "label is '7', expected 7"),
    "label is no integer": ({"label": 7.0}, "label is 7.0, expected 7"),
    "no frames": ({"skeletons": []}, "skeletons is (0,) of float64, expected (T, 20, 3) numbers"),
    "19 joints": ({"skeletons": [frames(1)[0][:19]]}, "skeletons is (1, 19, 3)"),
    "one frame is short": ({"skeletons": [*frames(1), frames(1)[0][:19]]}, "skeletons is ragged"),
    "coordinates are text": ({"skeletons": [[["1", "2", "3"]] * 20]}, "of <U1, expected"),
    "a null": ({"skeletons": [[[1.0, 2.0, None]] * 20]}, "of object, expected"),
    "not a number": ({"skeletons": [*frames(1), *NO_BODY]}, "skeletons[1][0] is [nan, nan, nan]"),
    "too large": ({"skeletons": [[[1e39, 0.0, 0.0]] * 20]}, "skeletons[0][0] is [1e+39, 0.0, 0.0]"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_file_is_named(tmp_path: Path, case: str) -> None:
    changes, expected = DAMAGED[case]
    item = write(tmp_path, **changes)
    with pytest.raises(DataError) as caught:
        read(item)
    message = str(caught.value)
    assert message.startswith(f"{item.path}: ") and expected in message and "\n" not in message


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"file_name": "a"\n', r"json, line \d: not valid JSON"),
        (b"", r"json, line 1: not valid JSON"),
        (b"\xff\xff\xff", "not a JSON text"),
        (b"[" * 100_000, "not a JSON text"),
        (b"[1]", "expected a JSON object"),
    ],
)
def test_not_json(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / f"{NAME}.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=expected):
        read(RawItem(NAME, str(path)))


def test_protocol() -> None:
    protocol = NWUCLA.protocol("cv")
    assert protocol.name == "xview" and protocol.field == "camera"
    assert protocol.holdout < set(range(1, 11)) and len(NWUCLA.classes) == 10


def test_real_archive(tmp_path: Path) -> None:
    archive = SHARED / "data" / "nwucla_all_sqe.tar.xz"
    if not archive.is_file():
        pytest.skip(f"no recordings at {archive}")
    published = json.loads((SHARED / "data" / "nwucla_split.json").read_text())
    label = {e["file_name"]: e["label"] for part in published.values() for e in part}
    with tarfile.open(archive) as tar:
        members = [member for member in tar.getmembers() if member.isfile()]
        tar.extractall(tmp_path, members[:50], filter="data")
    names = [Path(member.name).stem for member in members]
    train = [name for name in names if int(name[-2:]) in NWUCLA.protocol("xview").train]
    assert len(train) == 1020 and len(names) - len(train) == 464
    assert set(train) == {entry["file_name"] for entry in published["train"]}
    found = NWUCLA().discover(tmp_path)
    assert len(found.items) == 50 and not found.skipped
    for item in found.items:
        sample = read(item)
        expected = json.loads(Path(item.path).read_text())["skeletons"]
        assert sample.label == label[item.id] - 1
        assert sample.xyz.tolist() == np.array(expected, dtype=np.float32).tolist()
        assert len(sample.frame_bodies) == len(expected) and (sample.frame_bodies == 1).all()
