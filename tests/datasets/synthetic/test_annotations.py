"""The 2D annotation file: key points of the same bodies, read back by the data set."""

import re

import numpy as np
import pytest

from skelray.datasets.synthetic import dataset as module
from skelray.datasets.synthetic.annotations import HIDDEN_ERROR, SEEN_ERROR
from skelray.datasets.synthetic.body import Proportions, joint_positions
from skelray.datasets.synthetic.camera import COLOR
from skelray.datasets.synthetic.dataset import ANNOTATIONS, MARKER_2D, Synthetic, Synthetic2D
from skelray.datasets.synthetic.keypoints import keypoints, occluded
from skelray.datasets.synthetic.recordings import members, performers, true_bodies
from skelray.platform.dataset import load_pickle
from skelray.platform.errors import UsageError
from skelray.platform.registry import load_dataset
from skelray.platform.skeleton.specs import COCO, KINECT_V2

RECORDINGS = {recording.name: recording for recording in members("tiny")}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    raw = tmp_path_factory.mktemp("synthetic_2d") / "tiny"
    Synthetic2D().generate(raw, size="tiny", seed=3)
    return raw


@pytest.fixture(scope="module")
def samples(tiny):
    dataset = Synthetic2D()
    return [sample for item in dataset.discover(tiny).items for sample in dataset.read(item)]


def standing(turned=0.0):
    """(1, 1, 25, 3): a person three metres before a camera, facing it, turned by degrees."""
    body = joint_positions(Proportions(stature=1.70), {}, 1)
    angle = np.radians(turned)
    turn = np.array(
        [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    )
    return (body @ turn.T + (0, -0.9, 3))[None]


def points(body):
    return dict(zip(COCO.joints, keypoints(body)[0, 0], strict=True))


def test_it_is_a_registered_data_set_with_the_classes_of_synthetic():
    assert load_dataset("synthetic_2d") is Synthetic2D and Synthetic2D().generated
    assert Synthetic2D.skeleton is COCO and Synthetic2D.fps == 30 and Synthetic2D.persons == 2
    assert Synthetic2D.classes == Synthetic.classes
    assert Synthetic2D.protocols == Synthetic.protocols


def test_the_face_is_where_a_face_is():
    body = standing()
    face, head = points(body), body[0, 0, KINECT_V2.joints.index("head")]
    assert (
        head[2] - 0.13 < face["nose"][2] < min(face[f"{side} eye"][2] for side in ("left", "right"))
    )
    assert face["nose"][1] < face["left eye"][1] == pytest.approx(face["right eye"][1])
    assert face["left ear"][0] < face["left eye"][0] < face["nose"][0]
    assert face["nose"][0] < face["right eye"][0] < face["right ear"][0]
    assert np.linalg.norm(face["right ear"] - face["left ear"]) == pytest.approx(0.17, abs=0.02)
    assert np.linalg.norm(face["right eye"] - face["left eye"]) == pytest.approx(0.07, abs=0.01)
    turned = points(standing(90))  # the face follows the chest
    assert abs(turned["nose"][0] - turned["right ear"][0]) > 0.08
    assert abs(turned["left ear"][0] - turned["right ear"][0]) < 0.01


def test_joints_of_both_skeletons_are_the_same_points():
    body = true_bodies(RECORDINGS["S033C001P001R002A001"], 3)
    shared = [name for name in COCO.joints if name in KINECT_V2.joints]
    assert len(shared) == 12
    theirs = [KINECT_V2.joints.index(name) for name in shared]
    ours = [COCO.joints.index(name) for name in shared]
    np.testing.assert_array_equal(keypoints(body)[:, :, ours], body[:, :, theirs])


def test_a_head_hides_what_lies_behind_it():
    def unseen(turned):
        return {COCO.joints[i] for i in np.flatnonzero(occluded(standing(turned))[0, 0, :5])}

    ears = {"left ear", "right ear"}
    assert unseen(0) <= ears
    assert unseen(180) >= {"nose", "left eye", "right eye"}
    assert len(unseen(90) & {"left eye", "right eye"}) == 1 == len(unseen(90) & ears)


def test_read_back_they_are_the_projected_bodies_to_the_stated_error(samples):
    """Every recording, all persons in all frames; half a pixel more where float16 is coarse."""
    errors, hidden, scores = [], [], []
    for sample in samples:
        recording = RECORDINGS[sample.id]
        bodies = true_bodies(recording, 3)
        persons, frames = bodies.shape[:2]
        assert persons == len(performers(recording)) and sample.frames == frames
        assert sample.frame_bodies.tolist() == [persons] * frames
        assert sample.body_id.tolist() == list(range(persons)) * frames
        true = COLOR.project(keypoints(bodies)).swapaxes(0, 1).reshape(-1, 17, 2)
        errors.append(sample.xyz - true)
        hidden.append(occluded(bodies).swapaxes(0, 1).reshape(-1, 17))
        scores.append(sample.score)
        assert (sample.height, sample.width, sample.fps) == (1080, 1920, 30)
        assert sample.label == recording.action - 1
        assert (sample.subject, sample.camera) == (recording.subject, recording.camera)
    error, unseen, score = map(np.concatenate, (errors, hidden, scores))
    assert error[~unseen].std() == pytest.approx(SEEN_ERROR, rel=0.05)
    assert error[unseen].std() == pytest.approx(HIDDEN_ERROR, rel=0.05)
    assert np.abs(error[~unseen]).max() < 6 * SEEN_ERROR
    assert 0.02 < unseen.mean() < 0.4
    assert score.min() > 0 and score.max() < 1
    assert score[~unseen].mean() > 0.85 > 0.6 > score[unseen].mean()


def test_ids_are_those_of_synthetic_and_the_splits_agree_with_its_protocols(tiny, samples):
    found = Synthetic2D().discover(tiny)
    assert not found.skipped and not found.splits  # nothing that differs from the protocols
    assert [sample.id for sample in samples] == list(RECORDINGS)
    split = load_pickle(tiny / ANNOTATIONS)["split"]
    assert list(split) == ["xsub_train", "xsub_val", "xview_train", "xview_val"]
    for protocol in Synthetic.protocols:
        train = {s.id for s in samples if getattr(s, protocol.field) in protocol.train}
        assert set(split[f"{protocol.name}_train"]) == train
        assert set(split[f"{protocol.name}_val"]) == RECORDINGS.keys() - train


def test_the_arrays_are_of_the_published_types(tiny):
    content = load_pickle(tiny / ANNOTATIONS)
    for annotation in content["annotations"]:
        keypoint, score = annotation["keypoint"], annotation["keypoint_score"]
        assert keypoint.dtype == score.dtype == np.float16
        assert keypoint.shape == (*score.shape, 2) and score.shape[2] == 17
        assert annotation["img_shape"] == annotation["original_shape"] == (1080, 1920)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tiny, tmp_path):
    for name, seed in (("again", 3), ("other", 4)):
        Synthetic2D().generate(tmp_path / name, size="tiny", seed=seed)
    first = (tiny / ANNOTATIONS).read_bytes()
    assert (tmp_path / "again" / ANNOTATIONS).read_bytes() == first
    assert (tmp_path / "other" / ANNOTATIONS).read_bytes() != first


def test_an_interrupted_generation_leaves_no_file_and_is_done_again(tiny, tmp_path, monkeypatch):
    def stop(*arguments, **options):
        raise KeyboardInterrupt

    for place in (module, module.pickle):
        name = "annotation_file" if place is module else "dumps"
        monkeypatch.setattr(place, name, stop)
        with pytest.raises(KeyboardInterrupt):
            Synthetic2D().generate(tmp_path, size="tiny", seed=3)
        monkeypatch.undo()
        assert [path.name for path in tmp_path.iterdir()] == [MARKER_2D]
    Synthetic2D().generate(tmp_path, size="tiny", seed=3)
    assert (tmp_path / ANNOTATIONS).read_bytes() == (tiny / ANNOTATIONS).read_bytes()
    monkeypatch.setattr(module, "annotation_file", None)
    Synthetic2D().generate(tmp_path, size="tiny", seed=3)  # it is there


def test_wrong_use_is_refused_in_one_line(tiny, tmp_path):
    def refused(raw, message, size="tiny", seed=3):
        with pytest.raises(UsageError, match=re.escape(message)) as caught:
            Synthetic2D().generate(raw, size=size, seed=seed)
        assert "\n" not in str(caught.value)

    refused(tiny, "another set (seed 3 instead of 0)", seed=0)
    refused(tiny, "another set (size tiny instead of small)", size="small")
    refused(tmp_path, "seed -1 of synthetic_2d is negative", seed=-1)
    refused(tmp_path, "no size 'huge'", size="huge")
    (tmp_path / ANNOTATIONS).touch()
    refused(tmp_path, f"holds recordings but no {MARKER_2D}: choose another folder")
