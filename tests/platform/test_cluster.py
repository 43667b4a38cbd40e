"""What the driver tells Ray's workers about their environment."""

from __future__ import annotations

import json

import pytest

from skelray.platform import cluster


def test_variables_that_a_submitted_job_sets_are_not_set_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ray refuses a job whose driver names a variable that the job's own environment names."""
    monkeypatch.setenv("SKELRAY_HOME", "/shared/skelray")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")
    monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR", raising=False)
    alone = cluster._environment()["env_vars"]
    assert alone["SKELRAY_HOME"] == "/shared/skelray"
    assert alone["MLFLOW_TRACKING_URI"] == "http://tracking:5000"

    job = {"runtime_env": {"env_vars": {"SKELRAY_HOME": "/shared/skelray"}}}
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps(job))
    submitted = cluster._environment()["env_vars"]
    assert "SKELRAY_HOME" not in submitted
    assert submitted["MLFLOW_TRACKING_URI"] == "http://tracking:5000"


@pytest.mark.parametrize(
    ("asked", "present", "workers", "given"),
    [(None, 0, 1, 0.0), (None, 2, 2, 1.0), (None, 1, 2, 0.0), (0.0, 4, 1, 0.0), (0.5, 1, 2, 0.5)],
)
def test_gpus_are_used_where_each_worker_can_have_one(
    monkeypatch: pytest.MonkeyPatch, asked: float | None, present: int, workers: int, given: float
) -> None:
    monkeypatch.setattr(cluster.ray, "cluster_resources", lambda: {"CPU": 2.0, "GPU": present})
    assert cluster.gpus_per_worker(asked, workers) == given
