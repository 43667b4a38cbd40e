"""What a method has beside its features: predicted poses and its own recognition head."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from skelray.platform.config import RunConfig
from skelray.platform.data.source import Source
from skelray.platform.evaluation.plan import Plan
from skelray.platform.evaluation.prediction import PredictionError, predicts
from skelray.platform.evaluation.recognition import Recognition, recognises
from skelray.platform.method import Method
from skelray.platform.training.build import build_method


def changed(config: RunConfig, source: Source, **members: Any) -> Method:
    """The plugin's method with further members."""
    method = build_method(config, source.spec)
    method.__class__ = type("Changed", (type(method),), members)
    return method


def prediction_views(self: Method, batch: Any, output: str, draws: Any = None) -> Any:
    """Of the plugin's four frames, the second is the last that is seen."""
    x = batch.skeletons["body"].dense()
    assert output == "prediction"
    return {"prediction/last": x[:, :, 1], "prediction/target": x[:, :, 2:]}


def a_centimetre_off(self: Method, views: Any) -> torch.Tensor:
    target = views["prediction/target"].clone()
    target[:, 0] += 0.01
    target[:, 0, 1, :5] += 0.02  # the first joints in the second frame
    return target


def measured(measurement: Any, folder: Path) -> Mapping[str, Any]:
    class Titled:
        title = "a method on a data set"

    return dict(measurement(Titled(), lambda name: folder / name))


def test_the_error_is_the_mean_distance_of_joints(
    config: RunConfig, source: Source, tmp_path: Path
) -> None:
    method = changed(config, source, eval_views=prediction_views, predict=a_centimetre_off)
    assert predicts(method) and not predicts(build_method(config, source.spec))
    measurement = PredictionError(method=method, source=source, pictures=frozenset({"prediction"}))
    found = measured(measurement, tmp_path)
    assert measurement.figures < found.keys()
    assert found["prediction/mpjpe_mm_frame1"] == pytest.approx(10.0, rel=1e-4)
    assert "prediction/mpjpe_mm_frame5" not in found  # two frames are predicted
    assert found["prediction/mpjpe_mm"] == pytest.approx(10 + 20 * 5 / 20 / 2, rel=1e-4)
    assert found["prediction/mpjpe_mm_head"] == pytest.approx(20.0, rel=1e-4)
    data = source.data(method.inputs("prediction"), torch.device("cpu"))
    index = next(iter(source.caches(method.inputs("prediction")).values())).index
    x = data.batch(source.rows(index, "test"), labels=False).skeletons["body"].dense()
    still = 1000 * (x[:, :, 2:] - x[:, :, 1:2]).square().sum(1).sqrt()
    assert found["prediction/last_pose/mpjpe_mm"] == pytest.approx(float(still.mean()), rel=1e-4)
    with Image.open(found["prediction"]) as picture:
        assert picture.n_frames == 3  # the last that is seen, and what comes


def label_as_predicted(self: Method, views: Any) -> torch.Tensor:
    """Everything is of the second class."""
    scores = torch.zeros(len(views["x"]), 6)
    scores[:, 1] = 1.0
    return scores


def test_the_own_head_is_measured_where_labels_train_it(
    config: RunConfig, source: Source, tmp_path: Path
) -> None:
    plain = build_method(config, source.spec)
    phases = [plain.phases()[0].model_copy(update={"labels": True})]
    method = changed(config, source, logits=label_as_predicted, phases=lambda self: phases)
    assert recognises(method)
    assert not recognises(changed(config, source, logits=label_as_predicted))
    assert not recognises(changed(config, source, phases=lambda self: phases))
    found = measured(Recognition(method=method, source=source), tmp_path)
    index = next(iter(source.caches(method.inputs("joint")).values())).index
    label = index["label"][source.rows(index, "test")]
    known = label[label >= 0]
    assert found["recognition/top1"] == pytest.approx(100 * np.mean(known == 1))
    assert found.keys() == {f"recognition/{name}" for name in ("top1", "top5", "mean_class")}


def test_they_are_measured_on_the_checkpoint_alone(
    config: RunConfig, source: Source, trained: Path, tmp_path: Path
) -> None:
    plan = Plan(config, source, trained, tmp_path)
    before = [row.measurements for row in plan.rows()]
    plan.method = changed(config, source, predict=a_centimetre_off)
    after = [row.measurements for row in plan.rows()]
    further = [len(b) - len(a) for a, b in zip(before, after, strict=True)]
    assert further == [1] + [0] * (len(before) - 1)
