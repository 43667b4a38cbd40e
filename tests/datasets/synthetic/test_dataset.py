"""The data set from generation to samples."""

import json
import re

import numpy as np
import pytest

from skelray.datasets.synthetic import recordings
from skelray.datasets.synthetic.dataset import MARKER, Synthetic
from skelray.datasets.synthetic.recordings import SIZES, record
from skelray.platform.errors import DataError, UsageError
from skelray.platform.registry import load_dataset
from skelray.platform.skeleton.specs import KINECT_V2


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
    assert Synthetic().generated and len(Synthetic.classes) == 12 and Synthetic.persons == 2
    assert Synthetic.skeleton is KINECT_V2 and Synthetic.fps == 30
    assert [protocol.name for protocol in Synthetic.protocols] == ["xsub", "xview"]


def test_every_recording_of_tiny_is_found_and_read(tiny, samples):
    discovery = Synthetic().discover(tiny)
    assert not discovery.skipped
    assert [sample.id for sample in samples] == sorted(r.name for r in SIZES["tiny"])
    by_name = {recording.name: recording for recording in SIZES["tiny"]}
    for sample in samples:
        recording = by_name[sample.id]
        assert sample.label == recording.action - 1
        numbers = (sample.subject, sample.camera, sample.setup, sample.replication)
        assert numbers == (
            recording.subject, recording.camera, recording.setup, recording.replication,
        )  # fmt: skip
        assert 40 <= sample.frames <= 110
        persons = 2 if Synthetic.classes[sample.label] == "shake hands" else 1
        assert (sample.frame_bodies == persons).all()
        assert len(set(sample.body_id.tolist())) == persons
        assert (sample.body_id > 2**56).all()


def test_read_positions_are_the_generated_ones(samples):
    """To the seven digits of the text."""
    recording = next(r for r in SIZES["tiny"] if r.action == 12)
    sample = next(s for s in samples if s.id == recording.name)
    xyz, state, ids = record(recording, 3)
    order = xyz.swapaxes(0, 1).reshape(-1, 25, 3)  # frame after frame, body after body
    np.testing.assert_allclose(sample.xyz, order, rtol=6e-7)
    np.testing.assert_array_equal(sample.joint_state, state.swapaxes(0, 1).reshape(-1, 25))
    assert tuple(sample.body_id[:2].tolist()) == ids


def test_bodies_stand_before_the_camera_and_inside_its_image(samples):
    for sample in samples:
        assert 2.0 < np.median(sample.xyz[..., 2]) < 5.0
        assert sample.color_xy.min() > 0
        assert sample.color_xy[..., 0].max() < 1920 and sample.color_xy[..., 1].max() < 1080
        tall = np.linalg.norm(sample.xyz[:, 3] - sample.xyz[:, [15, 19]].mean(1), axis=-1).max()
        assert 0.8 < tall < 2.0
        x, _, z = np.moveaxis(sample.xyz.astype(float), -1, 0)
        expected = 1081.4 * (x + 0.052) / z + 959.5
        np.testing.assert_allclose(sample.color_xy[..., 0], expected, atol=0.01)


def test_every_part_of_every_protocol_holds_every_action(samples):
    for protocol in Synthetic.protocols:
        for name, chosen in parts(protocol, samples).items():
            assert {sample.label for sample in chosen} == set(range(12)), (protocol.name, name)
        assert protocol.holdout <= frozenset(range(1, 41))
    xsub, xview = Synthetic.protocols
    assert xsub.holdout < xsub.train
    assert {s.id for s in parts(xsub, samples)["train"]} != {
        s.id for s in parts(xview, samples)["train"]
    }


def test_sizes():
    assert {size: len(members) for size, members in SIZES.items()} == {
        "tiny": 48,
        "small": 576,
        "full": 2880,
    }
    for members in SIZES.values():
        assert len({recording.name for recording in members}) == len(members)
    assert set(SIZES["tiny"]) < set(SIZES["small"]) < set(SIZES["full"])
    # Both halves of the subjects were recorded in every setup.
    for half in (0, 1):
        assert {r.setup for r in SIZES["small"] if r.subject % 2 == half} == {33, 34, 35, 36}


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tiny, tmp_path):
    Synthetic().generate(tmp_path / "again", size="tiny", seed=3)
    assert contents(tmp_path / "again") == contents(tiny)
    Synthetic().generate(tmp_path / "other", size="tiny", seed=4)
    other, first = contents(tmp_path / "other"), contents(tiny)
    assert other.keys() == first.keys()
    assert not any(other[name] == first[name] for name in first)


def test_cameras_record_the_same_performance_at_the_same_time():
    trio = [r for r in SIZES["small"] if (r.subject, r.replication, r.action) == (2, 1, 3)]
    assert [r.camera for r in trio] == [1, 2, 3]
    bodies = [record(recording, 0)[0][0] for recording in trio]
    raised = [np.linalg.norm(b[:, 7] - b[:, 0], axis=-1) for b in bodies]  # left hand from pelvis
    assert len({len(curve) for curve in raised}) == 1
    assert np.corrcoef(raised).min() > 0.9
    assert np.abs(bodies[0] - bodies[1]).max() > 0.3


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
    with pytest.raises(UsageError, match="holds 5 of 48 recordings: generate the set again"):
        Synthetic().discover(raw)
    before = {path: path.stat().st_mtime_ns for path in raw.glob("*.skeleton")}
    Synthetic().generate(raw, size="tiny", seed=3)
    assert contents(raw) == contents(tiny)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_complete_set_is_left_alone(tiny, monkeypatch):
    monkeypatch.setattr("skelray.datasets.synthetic.dataset.recording_text", None)
    Synthetic().generate(tiny, size="tiny", seed=3)
    assert json.loads((tiny / MARKER).read_text()) == {
        "size": "tiny", "seed": 3, "generator": 1, "recordings": 48,
    }  # fmt: skip


def refused(error, message):
    return pytest.raises(error, match=re.escape(message))


def test_wrong_use_is_refused_in_one_line(tiny, tmp_path):
    dataset = Synthetic()
    with refused(UsageError, "no size 'huge': choose one of tiny, small, full"):
        dataset.generate(tmp_path, size="huge", seed=0)
    with refused(UsageError, "seed -1 of synthetic is negative"):
        dataset.generate(tmp_path, size="tiny", seed=-1)
    with refused(UsageError, "holds another set (seed 3 instead of 0): choose another folder"):
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


def resized(body, frames=50):
    """(frames, V, 3): linear in time, every frame centred on the joint between the shoulders."""
    centred = body - body[:, 20:21]
    at = np.linspace(0, len(body) - 1, frames)
    low = np.minimum(at.astype(int), len(body) - 2)
    share = (at - low)[:, None, None]
    return centred[low] * (1 - share) + centred[low + 1] * share


def test_neighbours_of_raw_coordinates_know_the_action_only_in_part():
    """1-NN across subjects: far above chance (8.3 %), and with room for a learned encoder."""
    members = SIZES["small"]
    rows = []
    for recording in members:
        row = np.zeros((2, 50, 25, 3))
        for person, body in enumerate(record(recording, 0)[0]):
            row[person] = resized(body)
        rows.append(row.ravel())
    features, labels = np.array(rows), np.array([r.action for r in members])
    train = np.array([r.subject % 2 == 1 for r in members])
    x, y = features[~train], features[train]
    distance = (x**2).sum(1)[:, None] + (y**2).sum(1) - 2 * x @ y.T
    accuracy = (labels[train][distance.argmin(1)] == labels[~train]).mean()
    assert 0.55 < accuracy < 0.8
