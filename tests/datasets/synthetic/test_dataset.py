"""The data set from generation to samples."""

import json
import re
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import f_oneway

from skelray.datasets.synthetic import recordings
from skelray.datasets.synthetic.actions import ACTIONS
from skelray.datasets.synthetic.camera import SETUPS
from skelray.datasets.synthetic.dataset import MARKER, Synthetic
from skelray.datasets.synthetic.recordings import members, record
from skelray.platform.dataset import SkeletonSample
from skelray.platform.errors import DataError, UsageError
from skelray.platform.preprocessing import Preprocessing
from skelray.platform.registry import load_dataset
from skelray.platform.skeleton.specs import KINECT_V2

PAIRS = {action.name for action in ACTIONS if len(action.motions) == 2}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    raw = tmp_path_factory.mktemp("synthetic") / "tiny"
    Synthetic().generate(raw, size="tiny", seed=3)
    return raw


@pytest.fixture(scope="module")
def samples(tiny):
    dataset = Synthetic()
    return [sample for item in dataset.discover(tiny).items for sample in dataset.read(item)]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def parts(protocol, samples):
    """part -> samples, as the contract defines them."""
    trains = [getattr(sample, protocol.field) in protocol.train for sample in samples]
    return {
        "train": [s for s, train in zip(samples, trains, strict=True) if train],
        "test": [s for s, train in zip(samples, trains, strict=True) if not train],
        "holdout": [
            s
            for s, train in zip(samples, trains, strict=True)
            if train and s.subject in protocol.holdout
        ],
    }


def test_it_is_a_registered_generated_data_set():
    assert load_dataset("synthetic") is Synthetic
    assert Synthetic().generated and len(Synthetic.classes) == 16 and Synthetic.persons == 2
    assert Synthetic.skeleton is KINECT_V2 and Synthetic.fps == 30
    assert [protocol.name for protocol in Synthetic.protocols] == ["xsub", "xview"]


def test_every_recording_of_tiny_is_found_and_read(tiny, samples):
    discovery = Synthetic().discover(tiny)
    assert not discovery.skipped
    assert [sample.id for sample in samples] == sorted(r.name for r in members("tiny"))
    by_name = {recording.name: recording for recording in members("tiny")}
    for sample in samples:
        recording = by_name[sample.id]
        assert sample.label == recording.action - 1
        numbers = (sample.subject, sample.camera, sample.setup, sample.replication)
        assert numbers == (
            recording.subject, recording.camera, recording.setup, recording.replication,
        )  # fmt: skip
        assert 40 <= sample.frames <= 132
        persons = 2 if Synthetic.classes[sample.label] in PAIRS else 1
        assert np.median(sample.frame_bodies) == persons and sample.frame_bodies.max() <= 3
        assert persons <= len(set(sample.body_id.tolist())) <= persons + 1  # a ghost
        assert (sample.body_id > 2**56).all()


def test_read_bodies_are_the_generated_ones_in_the_order_of_the_lists(samples):
    """To the seven digits of the text; with empty frames, ghosts and exchanged positions."""
    by_name = {recording.name: recording for recording in members("tiny")}
    faulty = 0
    for sample in samples:
        tracked = record(by_name[sample.id], 3)
        assert sample.frame_bodies.tolist() == [len(bodies) for bodies in tracked.listed]
        frame = np.repeat(np.arange(sample.frames), sample.frame_bodies)
        body = np.concatenate([bodies for bodies in tracked.listed if bodies])
        np.testing.assert_allclose(sample.xyz, tracked.xyz[body, frame], rtol=6e-7)
        np.testing.assert_array_equal(sample.joint_state, tracked.state[body, frame])
        np.testing.assert_array_equal(sample.body_id - body, sample.body_id[0] - body[0])
        faulty += len(set(tracked.listed)) > 1
    assert 3 <= faulty <= len(samples) // 3


def test_bodies_stand_before_the_camera_and_inside_its_image(samples):
    for sample in samples:
        assert 2.0 < np.median(sample.xyz[..., 2]) < 5.0
        inside = (sample.color_xy > 0) & (sample.color_xy < (1920, 1080))
        assert inside.mean() > 0.99
        tall = np.linalg.norm(sample.xyz[:, 3] - sample.xyz[:, [15, 19]].mean(1), axis=-1).max()
        assert 0.8 < tall < 2.0
        x, _, z = np.moveaxis(sample.xyz.astype(float), -1, 0)
        expected = 1081.4 * (x + 0.052) / z + 959.5
        np.testing.assert_allclose(sample.color_xy[..., 0], expected, atol=0.01)


def test_every_part_of_every_protocol_holds_every_action(samples):
    for protocol in Synthetic.protocols:
        for name, chosen in parts(protocol, samples).items():
            assert {sample.label for sample in chosen} == set(range(16)), (protocol.name, name)
    xsub, xview = Synthetic.protocols
    assert xsub.holdout < xsub.train
    assert {s.id for s in parts(xsub, samples)["train"]} != {
        s.id for s in parts(xview, samples)["train"]
    }


def test_sizes():
    sizes = {size: members(size) for size in ("tiny", "3-subjects", "small", "20-subjects", "full")}
    assert {size: len(each) for size, each in sizes.items()} == {
        "tiny": 64,
        "3-subjects": 288,
        "small": 576,
        "20-subjects": 1920,
        "full": 2880,
    }
    for each in sizes.values():
        assert len({recording.name for recording in each}) == len(each)
    for smaller, larger in pairwise(sizes.values()):
        assert set(smaller) < set(larger)
    # Both halves of the subjects were recorded in every setup.
    for half in (0, 1):
        assert {r.setup for r in members("8-subjects") if r.subject % 2 == half} == set(SETUPS)


def test_the_smallest_number_of_subjects_fills_every_part():
    for protocol in Synthetic.protocols:
        for name, chosen in parts(protocol, members("3-subjects")).items():
            assert {recording.action for recording in chosen} == set(range(1, 17)), name


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tiny, tmp_path):
    Synthetic().generate(tmp_path / "again", size="tiny", seed=3)
    assert contents(tmp_path / "again") == contents(tiny)
    Synthetic().generate(tmp_path / "other", size="tiny", seed=4)
    other, first = contents(tmp_path / "other"), contents(tiny)
    assert other.keys() == first.keys()
    assert not any(other[name] == first[name] for name in first)


def test_a_subject_has_the_same_body_in_every_recording():
    """All bones' lengths together tell subjects apart, through the errors of the trackers."""
    raised = [r for r in members("8-subjects") if r.action == 3]
    lengths = np.array([bones(record(recording, 0).xyz[0]) for recording in raised])
    subjects = np.array([recording.subject for recording in raised])
    groups = [lengths[subjects == subject] for subject in range(1, 9)]
    assert f_oneway(*groups).pvalue < 1e-4


def bones(body):
    """Metres: the median lengths of all bones of (T, V, 3), summed."""
    edges = np.array(KINECT_V2.edges)
    return np.median(np.linalg.norm(body[:, edges[:, 0]] - body[:, edges[:, 1]], axis=-1), 0).sum()


def test_every_camera_records_a_performance_of_its_own():
    trio = [r for r in members("small") if (r.subject, r.replication, r.action) == (2, 1, 3)]
    assert [r.camera for r in trio] == [1, 2, 3]
    assert len({record(recording, 0).xyz.shape[1] for recording in trio}) == 3


def test_an_interrupted_generation_is_completed(tiny, tmp_path, monkeypatch):
    raw = tmp_path / "raw"
    written = []

    def stop_after_five(*arguments):
        if len(written) == 5:
            raise KeyboardInterrupt
        written.append(arguments)
        return recordings.recording_text(*arguments)

    monkeypatch.setattr("skelray.datasets.synthetic.dataset.recording_text", stop_after_five)
    with pytest.raises(KeyboardInterrupt):
        Synthetic().generate(raw, size="tiny", seed=3)
    monkeypatch.undo()
    with pytest.raises(UsageError, match="holds 5 of 64 recordings: generate the set again"):
        Synthetic().discover(raw)
    before = {path: path.stat().st_mtime_ns for path in raw.glob("*.skeleton")}
    Synthetic().generate(raw, size="tiny", seed=3)
    assert contents(raw) == contents(tiny)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_complete_set_is_left_alone(tiny, monkeypatch):
    monkeypatch.setattr("skelray.datasets.synthetic.dataset.recording_text", None)
    Synthetic().generate(tiny, size="tiny", seed=3)
    assert json.loads((tiny / MARKER).read_text()) == {
        "size": "tiny", "seed": 3, "generator": 2, "recordings": 64,
    }  # fmt: skip


def refused(error, message):
    return pytest.raises(error, match=re.escape(message))


def test_wrong_use_is_refused_in_one_line(tiny, tmp_path):
    dataset = Synthetic()
    for size in ("huge", "", "2-subjects", "1000-subjects", "03-subjects", "-subjects"):
        with refused(
            UsageError,
            f"no size {size!r}: choose one of tiny, small, full, or a number of subjects "
            "from 3 to 999 such as '20-subjects'",
        ):
            dataset.generate(tmp_path / "raw", size=size, seed=0)
    assert not (tmp_path / "raw").exists()
    with refused(UsageError, "seed -1 of synthetic is negative"):
        dataset.generate(tmp_path, size="tiny", seed=-1)
    with refused(UsageError, "another set (seed 3 instead of 0): delete it or choose another"):
        dataset.generate(tiny, size="tiny", seed=0)
    file = tmp_path / "file"
    file.touch()
    with refused(UsageError, f"{file} is not a folder"):
        dataset.generate(file, size="tiny", seed=0)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "S001C001P001R001A001.skeleton").touch()
    with refused(UsageError, "holds recordings but no synthetic.json: choose another folder"):
        dataset.generate(foreign, size="tiny", seed=0)
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / MARKER).write_text('{"size": ')
    with refused(DataError, f"{damaged / MARKER} is damaged"):
        dataset.generate(damaged, size="tiny", seed=0)
    assert not list(tmp_path.rglob("*.json.*"))


def test_neighbours_of_raw_coordinates_know_the_action_only_in_part():
    """1-NN: far above chance (6.3 %), below 65 % across views, so that there is much to learn."""
    raw = Preprocessing(name="body_centred", parameters={"align": "none"})
    recordings = members("small")
    rows = np.array([raw(sample_of(r), KINECT_V2).frames.ravel() for r in recordings])
    labels = np.array([r.action for r in recordings])
    for train in (
        np.array([r.subject % 2 == 1 for r in recordings]),
        np.array([r.camera != 1 for r in recordings]),
    ):
        x, y = rows[~train], rows[train]
        distance = (x**2).sum(1)[:, None] + (y**2).sum(1) - 2 * x @ y.T
        accuracy = (labels[train][distance.argmin(1)] == labels[~train]).mean()
        assert 0.35 < accuracy < 0.65


def sample_of(recording):
    """The recording as a sample, without its text."""
    tracked = record(recording, 0)
    bodies = [tracked.xyz[body, t] for t, listed in enumerate(tracked.listed) for body in listed]
    counts = np.array([len(listed) for listed in tracked.listed], dtype=np.int32)
    return SkeletonSample(
        id=recording.name, frame_bodies=counts, xyz=np.array(bodies, dtype=np.float32)
    )
