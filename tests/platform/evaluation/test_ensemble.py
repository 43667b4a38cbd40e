"""Late fusion: by sample id, with weights, and only of what belongs together."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skelray.platform.errors import DataError, UsageError
from skelray.platform.evaluation.ensemble import Member, fuse
from skelray.platform.evaluation.scores import Scores

ABOUT: dict[str, Any] = {
    "dataset": "synthetic",
    "protocol": "xsub",
    "data_version": "v1",
    "classes": 3,
    "checkpoint_hash": "c0ffee",
    "first_output": "joint",
    "outputs": ["joint", "motion"],
}
ID = np.array(["b", "a", "d", "c"])
LABEL = np.array([0, 1, 2, 0])
# right on b and a; the second is right on d and c, and surer there
FIRST = np.array([[4.0, 0, 1], [0, 4, 1], [0, 1, 0.5], [0, 1.0, 0]])
SECOND = np.array([[0, 1.0, 0], [1, 0, 0], [0, 0, 3], [3.0, 0, 0]])


def member(values: np.ndarray, name: str = "run", **about: Any) -> Member:
    scores = Scores(id=ID, label=LABEL, values=values)
    return Member(folder=Path(name), output="joint", about=ABOUT | about, scores=scores)


def shuffled(given: Member) -> Member:
    order = np.array([2, 0, 3, 1])
    of = given.scores
    turned = Scores(id=of.id[order], label=of.label[order], values=of.values[order])
    return replace(given, scores=turned)


def test_scores_are_joined_by_id_not_by_position() -> None:
    fused = fuse([member(FIRST), shuffled(member(SECOND, "other"))], [0.6, 0.4])
    np.testing.assert_allclose(fused.scores.values, 0.6 * FIRST + 0.4 * SECOND)
    assert fused.record()["figures"]["eval/ensemble2s/top1"] == 100.0
    rows = [" ".join(line.split()) for line in fused.table().splitlines()]
    assert rows[0] == "weight top-1 top-5" and rows[2:] == [
        "run:joint 0.6 50.0 100.0",
        "other:joint 0.4 50.0 100.0",
        "ensemble of 2 100.0 100.0",
    ]


def test_the_data_sets_metric_comes_first() -> None:
    first = FIRST.copy()
    first[3] = [3, 1, 0]  # right on both of class 0 and on that of class 1, not on that of class 2
    members = [member(first, metric="mean_class"), member(SECOND, "other", metric="mean_class")]
    fused = fuse(members, [1.0, 0.0])
    rows = [" ".join(line.split()) for line in fused.table().splitlines()]
    assert (rows[0], rows[-1]) == ("weight mean class top-1", "ensemble of 2 66.7 75.0")
    assert fused.record()["figures"]["eval/ensemble2s/mean_class"] == pytest.approx(200 / 3)


def test_weights_are_recorded_and_decide() -> None:
    members = [member(FIRST, "x"), member(SECOND, "y")]
    record = fuse(members, [1.0, 0.0]).record()
    assert record["members"] == [
        {"run": "x", "output": "joint", "checkpoint": "c0ffee", "weight": 1.0},
        {"run": "y", "output": "joint", "checkpoint": "c0ffee", "weight": 0.0},
    ]
    assert record["protocol"] == "xsub"
    assert record["figures"]["eval/ensemble2s/top1"] == 50.0


def test_a_class_that_cannot_be_predicted_stays_so() -> None:
    impossible = FIRST.copy()
    impossible[:, 2] = -np.inf
    fused = fuse([member(impossible), member(SECOND, "other")], [1.0, 1.0])
    assert not (fused.scores.values.argmax(1) == 2).any()
    alone = fuse([member(SECOND), member(impossible, "other")], [1.0, 0.0])
    np.testing.assert_array_equal(alone.scores.values, SECOND)


@pytest.mark.parametrize("weights", [[1.0], [0.0, 0.0], [1.0, float("nan")], [1.0, -1.0]])
def test_weights_that_do_not_fit_are_refused(weights: list[float]) -> None:
    with pytest.raises(UsageError, match="2 runs need as many weights of 0 or more"):
        fuse([member(FIRST), member(SECOND, "other")], weights)


def test_what_does_not_belong_together_is_refused() -> None:
    other = member(SECOND, "other", protocol="xview")
    with pytest.raises(UsageError, match="other:joint was measured on protocol xview, run:j"):
        fuse([member(FIRST), other], [1.0, 1.0])
    with pytest.raises(UsageError, match="run:joint is named twice"):
        fuse([member(FIRST), member(FIRST)], [1.0, 1.0])
    fewer = Scores(id=ID[:3], label=LABEL[:3], values=SECOND[:3])
    with pytest.raises(DataError, match=r"not measured on the same recordings \(3 and 4; c\)"):
        fuse([member(FIRST), replace(member(SECOND, "other"), scores=fewer)], [1.0, 1.0])
    relabelled = Scores(id=ID, label=LABEL + 1, values=SECOND)
    with pytest.raises(DataError, match="other labels for equal recordings"):
        fuse([member(FIRST), replace(member(SECOND, "other"), scores=relabelled)], [1.0, 1.0])


def test_members_are_read_from_the_newest_evaluation(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(UsageError, match="run does not exist"):
        Member.open(folder, "", "linear")
    folder.mkdir()
    with pytest.raises(DataError, match="holds no evaluation"):
        Member.open(folder, "", "linear")
    for step, values in ((1, FIRST), (2, SECOND)):
        path = folder / "evaluations" / f"step-{step:08d}.json"
        Scores(id=ID, label=LABEL, values=values).write(path.with_suffix("") / "s.parquet")
        files = {"eval/linear/scores": "s.parquet", "eval/motion/linear/scores": "s.parquet"}
        path.write_text(json.dumps({"about": ABOUT, "figures": {}, "files": files}))
    for output in ("", "joint", "motion"):
        found = Member.open(folder, output, "linear")
        np.testing.assert_array_equal(found.scores.values, SECOND)
        assert found.name == f"run:{output or 'joint'}"
    with pytest.raises(UsageError, match=r"has no output 'bone': choose one of \['joint', 'motion"):
        Member.open(folder, "bone", "linear")
    with pytest.raises(UsageError, match="no recipe 'linear_fst': did you mean 'linear_fast'"):
        Member.open(folder, "", "linear_fst")
    with pytest.raises(DataError, match=r"no eval/linear_logistic/scores: .*linear=\[logistic\]"):
        Member.open(folder, "", "linear_logistic")
    (folder / "evaluations/step-00000002/s.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"s\.parquet cannot be read .* makes it again"):
        Member.open(folder, "", "linear")
    path.write_text("{}")
    with pytest.raises(DataError, match="is damaged: delete it to evaluate again"):
        Member.open(folder, "", "linear")
