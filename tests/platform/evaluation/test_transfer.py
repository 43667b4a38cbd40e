"""What another evaluation of a run may read, and what is refused before Ray starts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import ray

from skelray.platform import runner
from skelray.platform.config import RunConfig
from skelray.platform.data.source import Source
from skelray.platform.data.store import Store
from skelray.platform.errors import CheckpointError, UsageError
from skelray.platform.evaluation.plan import Plan
from skelray.platform.runner import evaluate_run
from skelray.platform.skeleton.specs import KINECT_V2


@pytest.fixture(autouse=True)
def everything_is_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "check_data", lambda data: None)
    monkeypatch.setattr(runner, "prepared", lambda data: True)


def refusal(run: Path, *overrides: str) -> str:
    with pytest.raises((CheckpointError, UsageError)) as refused:
        evaluate_run(run, overrides)
    assert not ray.is_initialized()
    return str(refused.value)


def test_only_data_and_evaluation_may_differ(trained: Path) -> None:
    run = trained.parent.parent
    assert "not 'method'" in refusal(run, "method.width=3")
    assert "not 'seed'" in refusal(run, "seed=3", "evaluation.knn=[1]")


def test_an_encoder_needs_its_own_skeleton(
    trained: Path, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = type("Other", (source.dataset,), {"skeleton": KINECT_V2})
    monkeypatch.setattr(Source, "open", lambda data: replace(source, dataset=other))
    said = refusal(trained.parent.parent, "data.protocol=xview")
    assert "was trained on skeleton kinect_v1" in said and "have kinect_v2" in said


def test_a_run_is_not_measured_on_changed_recordings(
    trained: Path, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = replace(source, store=Store(source.store.path, {"data_version": "v2"}))
    monkeypatch.setattr(Source, "open", lambda data: changed)
    assert "was trained on data version v1" in refusal(trained.parent.parent)


def test_the_method_is_built_for_what_it_was_trained_on(
    config: RunConfig, trained: Path, source: Source, tmp_path: Path
) -> None:
    fewer = replace(source.protocol, name="few", classes=source.dataset.classes[:2])
    elsewhere = replace(source, protocol=fewer)
    plan = Plan(config, elsewhere, trained, tmp_path)
    assert plan.method.data == source.spec and elsewhere.spec.classes == 2
    about = plan.about()
    assert (about["protocol"], about["classes"]) == ("few", 2)
    assert about["trained_on"] == {"dataset": "bodies", "protocol": "xsub"}
