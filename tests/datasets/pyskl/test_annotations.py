"""Annotation files: what is read, what is skipped and with which line, and the splits."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skelray.datasets.ntu.dataset import NTU60
from skelray.datasets.pyskl import annotations
from skelray.datasets.pyskl.dataset import NTU60HRNet, NTU60Kinect
from skelray.platform import paths
from skelray.platform.data.annotations import write_annotations
from skelray.platform.data.store import SPLITS, Store, write_shard
from skelray.platform.dataset import Dataset, Discovery, SkeletonSample
from skelray.platform.errors import DataError, UsageError
from skelray.platform.registry import load_dataset
from skelray.platform.skeleton.specs import COCO, KINECT_V2

RANDOM = np.random.default_rng(1)


def annotation(name: str = "S001C001P001R001A003", **changes: Any) -> dict[str, Any]:
    """Four frames of two persons in 2D; a change to None takes a key away."""
    whole = {
        "frame_dir": name,
        "label": int(name[-3:]) - 1 if name[-3:].isdigit() else 0,
        "img_shape": (1080, 1920),
        "original_shape": (1080, 1920),
        "total_frames": 4,
        "keypoint": RANDOM.uniform(1, 1000, size=(2, 4, 17, 2)).astype(np.float16),
        "keypoint_score": RANDOM.uniform(0.1, 1, size=(2, 4, 17)).astype(np.float16),
    }
    return {key: value for key, value in (whole | changes).items() if value is not None}


def write(path: Path, listed: list[Any], split: Any = None, name: str = "ntu60_hrnet.pkl") -> Path:
    content = {"split": {} if split is None else split, "annotations": listed}
    (path / name).write_bytes(pickle.dumps(content, 4))
    return path / name


def read(dataset: Dataset, raw: Path) -> list[SkeletonSample]:
    return [sample for item in dataset.discover(raw).items for sample in dataset.read(item)]


def fault(path: Path, changes: Mapping[str, Any]) -> str:
    """Why an annotation with these changes is not read; the sound one before it is."""
    file = write(path, [annotation("S001C001P001R001A001"), annotation(**changes)])
    items = NTU60HRNet().discover(file).items
    assert len(list(NTU60HRNet().read(items[0]))) == 1
    with pytest.raises(DataError) as caught:
        list(NTU60HRNet().read(items[1]))
    start = f"{file}: annotations[1] (S001C001P001R001A003): "
    assert str(caught.value).startswith(start) and "\n" not in str(caught.value)
    return str(caught.value).removeprefix(start)


def test_registered() -> None:
    names = ("ntu60_hrnet", "ntu120_hrnet", "ntu60_3danno", "ntu120_3danno")
    found = [load_dataset(name) for name in names]
    assert [dataset.name for dataset in found] == list(names)
    assert [dataset.skeleton for dataset in found] == [COCO, COCO, KINECT_V2, KINECT_V2]
    assert [len(dataset.classes) for dataset in found] == [60, 120, 60, 120]
    assert [[p.name for p in dataset.protocols] for dataset in found] == [
        ["xsub", "xview"], ["xsub", "xset"], ["xsub", "xview"], ["xsub", "xset"],
    ]  # fmt: skip


def test_two_dimensional_poses(tmp_path: Path) -> None:
    whole = annotation("S017C003P020R002A060")
    whole["keypoint"][0, 1] = 0  # the first person is away in frame 1 …
    whole["keypoint_score"][0, 1] = 0
    whole["keypoint"][:, 2] = 0  # … everybody in frame 2 …
    whole["keypoint_score"][:, 2] = 0
    whole["keypoint"][1, 3] = 0  # … and in frame 3 the second is seen by a score alone
    whole["keypoint_score"][1, 3, 1:] = 0
    (sample,) = read(NTU60HRNet(), write(tmp_path, [whole]))
    assert sample.id == "S017C003P020R002A060" and sample.label == 59
    assert (sample.setup, sample.camera, sample.subject, sample.replication) == (17, 3, 20, 2)
    assert (sample.height, sample.width, sample.fps, sample.clip) == (1080, 1920, 30.0, None)
    assert sample.frame_bodies.tolist() == [2, 1, 0, 2]
    assert sample.body_id is not None and sample.body_id.tolist() == [0, 1, 1, 0, 1]
    assert sample.xyz.dtype == np.float32 and sample.frame_bodies.dtype == np.int32
    bodies = [(0, 0), (1, 0), (1, 1), (0, 3), (1, 3)]  # person and frame
    for key, values in (("keypoint", sample.xyz), ("keypoint_score", sample.score)):
        np.testing.assert_array_equal(values, [whole[key][place] for place in bodies])


def test_three_dimensional_poses(tmp_path: Path) -> None:
    """As pyskl's ntu_preproc.py writes them: four keys, float16, by NumPy 1 at protocol 2."""
    keypoint = RANDOM.normal(size=(1, 6, 25, 3)).astype(np.float16)
    whole = {
        "frame_dir": "S001C002P003R001A011",
        "label": 10,
        "keypoint": keypoint,
        "total_frames": 6,
    }
    content = pickle.dumps({"split": {}, "annotations": [whole]}, 2)
    content = content.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    (tmp_path / "ntu60_3danno.pkl").write_bytes(content)
    (sample,) = read(NTU60Kinect(), tmp_path)
    np.testing.assert_array_equal(sample.xyz, keypoint[0])
    assert sample.frame_bodies.tolist() == [1] * 6 and sample.label == 10
    assert sample.score is None and sample.height is None and sample.width is None


def test_a_list_alone_without_labels(tmp_path: Path) -> None:
    """As pyskl's custom_2d_skeleton.py writes it; the id may be under `filename`."""
    other = annotation("clip_a", label=None)
    other["filename"] = other.pop("frame_dir") + ".mp4"
    (tmp_path / "mine.pkl").write_bytes(pickle.dumps([other]))
    (sample,) = read(NTU60HRNet(), tmp_path / "mine.pkl")
    assert sample.id == "clip_a.mp4" and sample.label is None and sample.subject is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"label": 60}, "label 60 is outside 0..59"),
        ({"label": -1}, "label -1 is outside 0..59"),
        ({"label": 2.0}, "label is of type float, expected a whole number"),
        ({"label": True}, "label is of type bool"),
        ({"label": 10**5000}, "label is larger than any number of 32 bits"),
        ({"label": 5}, "label is 5, its name says 2"),
        ({"total_frames": 5}, "keypoint has shape (2, 4, 17, 2), expected (M, 5, 17, 2): total"),
        ({"total_frames": None}, "the key 'total_frames' is missing"),
        ({"total_frames": "4"}, "total_frames is of type str"),
        ({"keypoint": None}, "the key 'keypoint' is missing"),
        ({"keypoint": [[1.0]]}, "keypoint is of type list, expected an array"),
        ({"keypoint": np.ones((2, 4, 25, 2))}, "shape (2, 4, 25, 2), expected (M, 4, 17, 2)"),
        ({"keypoint": np.ones((2, 4, 17, 3))}, "shape (2, 4, 17, 3), expected (M, 4, 17, 2)"),
        ({"keypoint": np.ones((4, 17, 2))}, "keypoint has shape (4, 17, 2), expected (M, 4,"),
        ({"keypoint": np.ones((2, 4, 17, 2), complex)}, "an array of complex128, expected numbers"),
        ({"keypoint": np.full((2, 4, 17, 2), "1")}, "an array of <U1, expected numbers"),
        ({"keypoint": np.full((1, 4, 17, 2), np.nan)}, "keypoint[0, 0, 0, 0] is not a finite num"),
        ({"keypoint": np.full((1, 4, 17, 2), 1e39)}, "keypoint[0, 0, 0, 0] is not a finite num"),
        ({"keypoint_score": np.ones((1, 4, 17))}, "keypoint_score is of 1 persons, keypoint 2"),
        ({"keypoint_score": np.ones((2, 4, 16))}, "keypoint_score has shape (2, 4, 16), expected"),
        ({"keypoint_score": np.full((2, 4, 17), np.inf)}, "keypoint_score[0, 0, 0] is not a fin"),
        ({"img_shape": (1080,)}, "img_shape is not (height, width)"),
        ({"img_shape": (1080, -5)}, "img_shape is (1080, -5), expected (height, width)"),
        ({"img_shape": (1080, 1.5)}, "img_shape is of type float"),
    ],
)
def test_a_damaged_annotation_is_named(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    assert reason in fault(tmp_path, changes)


def test_an_array_whose_content_is_short(tmp_path: Path) -> None:
    file = write(tmp_path, [annotation()])
    content = file.read_bytes()
    shape = b"(K\x01(K\x02K\x04K\x11K\x02"
    assert content.count(shape) == 1
    file.write_bytes(content.replace(shape, b"(K\x01(K\x03K\x04K\x11K\x02"))
    with pytest.raises(DataError, match=r"\(S001C\w+\): keypoint: an array of shape \(3, 4, 17, 2"):
        read(NTU60HRNet(), file)


def test_annotations_that_are_no_recordings_are_listed(tmp_path: Path) -> None:
    listed = [annotation(), None, annotation(frame_dir=7), annotation(), annotation("")]
    listed += [annotation(frame_dir="a\nb"), annotation(frame_dir="\ud800")]
    found = NTU60HRNet().discover(write(tmp_path, listed))
    assert [(item.id, item.entry) for item in found.items] == [("S001C001P001R001A003", 0)]
    unnamed = "no recording with a text 'frame_dir'"
    assert found.skipped == {
        "ntu60_hrnet.pkl: annotations[1]": unnamed,
        "ntu60_hrnet.pkl: annotations[2]": unnamed,
        "ntu60_hrnet.pkl: annotations[3]": "the same recording as annotations[0]",
        "ntu60_hrnet.pkl: annotations[4]": unnamed,
        "ntu60_hrnet.pkl: annotations[5]": unnamed,
        "ntu60_hrnet.pkl: annotations[6]": unnamed,
    }


@pytest.mark.parametrize(
    "content", [{}, [], {"annotations": []}, {"annotations": {}}, "text", {"a": 1}, None]
)
def test_another_format(tmp_path: Path, content: Any) -> None:
    (tmp_path / "ntu60_hrnet.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(DataError, match=r"ntu60_hrnet\.pkl: expected a dict with a list of annot"):
        NTU60HRNet().discover(tmp_path)


def test_a_folder_holds_one_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"one file ntu60_hrnet\*\.pkl or .* found none: .*pyskl"):
        NTU60HRNet().discover(tmp_path)
    (tmp_path / "below").mkdir()
    write(tmp_path / "below", [annotation()], name="ntu60_2d_bboxes.pkl")
    write(tmp_path, [annotation()], name="ntu120_hrnet.pkl")
    assert len(NTU60HRNet().discover(tmp_path).items) == 1
    write(tmp_path, [annotation()])
    with pytest.raises(UsageError, match=r"found ntu60_2d_bboxes\.pkl, ntu60_hrnet\.pkl: name the"):
        NTU60HRNet().discover(tmp_path)
    assert len(NTU60HRNet().discover(tmp_path / "ntu60_hrnet.pkl").items) == 1


def test_a_link_to_nowhere_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "ntu60_hrnet.pkl").symlink_to(tmp_path / "gone.pkl")
    with pytest.raises(DataError, match=r"ntu60_hrnet\.pkl: cannot be read \(No such file"):
        NTU60HRNet().discover(tmp_path)


NAMES = [f"S001C00{camera}P00{subject}R001A001" for camera in (1, 2, 3) for subject in (1, 2, 3, 5)]
XSUB = {
    "xsub_train": [n for n in NAMES if int(n[9:12]) in (1, 2, 5)],
    "xsub_val": [n for n in NAMES if int(n[9:12]) == 3],
}
XVIEW = {
    "xview_train": [n for n in NAMES if "C001" not in n],
    "xview_val": [n for n in NAMES if "C001" in n],
}


def discover(path: Path, split: Any) -> Discovery:
    return NTU60HRNet().discover(write(path, [annotation(name) for name in NAMES], split))


def test_the_published_splits_are_the_protocols(tmp_path: Path) -> None:
    """Then subjects set apart for model selection, and the protocols' other names, are at hand."""
    found = discover(tmp_path, {**XSUB, **XVIEW})
    assert found.splits == {} and found.skipped == {}
    assert NTU60HRNet.protocol("cs") is NTU60.protocol("xsub")


def test_another_split_of_that_name_is_used_and_reported(tmp_path: Path) -> None:
    changed = {"xsub_train": XSUB["xsub_train"][1:], "xsub_val": XSUB["xsub_val"]}
    found = discover(tmp_path, {**changed, **XVIEW})
    assert found.splits == {"xsub": {"train": changed["xsub_train"], "test": XSUB["xsub_val"]}}
    assert found.skipped == {
        "ntu60_hrnet.pkl: split xsub": "used as it is: it differs from ntu60_hrnet's own xsub"
    }


def test_splits_of_other_names(tmp_path: Path) -> None:
    a, b, c = NAMES[:4], NAMES[4:8], NAMES[8:]
    found = discover(
        tmp_path,
        {
            "train": a, "val": b,
            "train2": tuple(b), "test2": np.array(c),
            "cv_1_train": a, "cv_1_test": b, "cv_1_val": c,
        },
    )  # fmt: skip
    assert found.splits == {
        "split": {"train": a, "test": b},
        "split2": {"train": b, "test": c},
        "cv_1": {"train": a, "test": b},
    }
    assert list(found.skipped) == ["ntu60_hrnet.pkl: split cv_1_val"]


@pytest.mark.parametrize(
    ("split", "name", "reason"),
    [
        ({"a_train": NAMES}, "split a_train", "belongs to no pair"),
        ({"all": NAMES}, "split all", "belongs to no pair"),
        ({"a_train": NAMES, "a_val": NAMES[:2]}, "split a_val", "not used: 2 of its recordings"),
        ({"a_train": [], "a_val": NAMES}, "split a_train", "is empty"),
        ({"a_train": ["x", "y"], "a_val": NAMES}, "split a_train", "2 of its 2 ids are of no ann"),
        ({"a_train": [1], "a_val": NAMES}, "split a_train", "is not a list of ids"),
        ({"a_train": "text", "a_val": NAMES}, "split a_train", "is not a list of ids"),
        ({"a_train": np.arange(3), "a_val": NAMES}, "split a_train", "is not a list of ids"),
        ([NAMES], "split", "is of type list, expected a dict"),
        ({1: NAMES}, "split", "one of its names is no text"),
        ({"a\nb_train": NAMES}, "split", "one of its names is no text"),
    ],
)
def test_a_split_that_cannot_be_used_is_reported(
    tmp_path: Path, split: Any, name: str, reason: str
) -> None:
    found = discover(tmp_path, split)
    assert len(found.items) == len(NAMES) and found.splits == {}
    assert reason in found.skipped[f"ntu60_hrnet.pkl: {name}"]


def test_lists_of_no_pair_are_reported_in_the_order_of_the_file(tmp_path: Path) -> None:
    names = [f"fold{number}" for number in range(9)]
    found = discover(tmp_path, dict.fromkeys(names, NAMES))
    assert list(found.skipped) == [f"ntu60_hrnet.pkl: split {name}" for name in names]


def test_ids_without_an_annotation_are_left_out_of_a_split(tmp_path: Path) -> None:
    found = discover(tmp_path, {"a_train": [*NAMES[:3], "gone"], "a_val": NAMES[3:]})
    assert found.splits == {"a": {"train": NAMES[:3], "test": NAMES[3:]}}
    assert found.skipped == {
        "ntu60_hrnet.pkl: split a_train": "1 of its 4 ids are of no annotation"
    }


def test_a_data_set_of_ones_own(tmp_path: Path) -> None:
    """The README's ten lines."""
    readme = Path(annotations.__file__).with_name("README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.+?)```", readme, re.DOTALL)
    names: dict[str, Any] = {"__name__": "my_package"}
    exec(code, names)
    gym: type[Dataset] = names["Gym"]
    split = {"train": ["a"], "val": ["b"]}
    write(tmp_path, [annotation("a", label=1), annotation("b")], split, name="gym.pkl")
    assert [sample.label for sample in read(gym(), tmp_path)] == [1, 0]
    assert gym().discover(tmp_path).splits == {"split": {"train": ["a"], "test": ["b"]}}
    with pytest.raises(UsageError, match="my_gym has no protocol 'xsub': choose one of losoN"):
        gym.protocol("xsub")


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    """Through a store: absent persons, empty frames, scores, picture, labels, splits."""
    listed = [annotation(name, label=None) for name in NAMES]
    for number, whole in enumerate(listed):
        gone = RANDOM.random((2, 4)) < 0.3
        gone[:, number % 4], gone[1, 3] = False, True
        whole["keypoint"][gone] = 0
        whole["keypoint_score"][gone] = 0
    split = {"a_train": NAMES[:3], "a_val": NAMES[3:]}
    raw = write(tmp_path, listed, split)
    samples = read(NTU60HRNet(), raw)
    write_shard(tmp_path / "part-00000.parquet", samples)
    paths.write_json(tmp_path / SPLITS, NTU60HRNet().discover(raw).splits)
    store = Store(tmp_path, {"shards": [{"file": "part-00000.parquet"}]})
    write_annotations(store, NTU60HRNet, tmp_path / "again.pkl", ["a", "xsub"])
    again = NTU60HRNet().discover(tmp_path / "again.pkl")
    assert again.splits == {"a": {"train": NAMES[:3], "test": NAMES[3:]}} and not again.skipped
    for sample, other in zip(samples, read(NTU60HRNet(), tmp_path / "again.pkl"), strict=True):
        for field in fields(SkeletonSample):
            ours, theirs = getattr(sample, field.name), getattr(other, field.name)
            np.testing.assert_array_equal(theirs, ours, strict=isinstance(ours, np.ndarray))
    content = pickle.loads((tmp_path / "again.pkl").read_bytes())
    for whole, other in zip(listed, content["annotations"], strict=True):
        np.testing.assert_array_equal(other["keypoint"], whole["keypoint"], strict=True)
        np.testing.assert_array_equal(other["keypoint_score"], whole["keypoint_score"], strict=True)
