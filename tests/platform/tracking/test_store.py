from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from skelray.platform.tracking import provenance, store


def test_default_store_lies_below_home(home: Path) -> None:
    assert store.tracking_uri() == f"sqlite:///{home}/mlflow.db"
    assert store.artifact_location("ntu60_xsub") == f"file://{home}/mlartifacts/ntu60_xsub"
    command = shlex.split(store.ui_command())
    assert command[0].endswith("mlflow")
    assert command[1:] == ["ui", "--backend-store-uri", store.tracking_uri(), "--port", "5000"]
    assert store.ui_address().startswith("http://127.0.0.1:5000/#/experiments")


def test_home_with_a_space_survives_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKELRAY_HOME", "/data/my runs")
    assert shlex.split(store.ui_command())[3] == "sqlite:////data/my runs/mlflow.db"


def test_server_decides_about_artifacts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")
    assert store.tracking_uri() == "http://tracking:5000"
    assert store.artifact_location("ntu60_xsub") is None
    assert store.ui_address().startswith("http://tracking:5000/#/experiments")
    assert shlex.split(store.ui_command()) == ["python", "-m", "webbrowser", store.ui_address()]


def test_address_is_known_without_loading_mlflow() -> None:
    code = "import sys, skelray.platform.tracking.store; print('mlflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_first_use_prints_nothing(tmp_path: Path) -> None:
    code = (
        "import os\n"
        "from skelray.platform.tracking import connection, store\n"
        "from mlflow.telemetry.utils import is_telemetry_disabled\n"
        "from mlflow import MlflowClient\n"
        "MlflowClient(tracking_uri=store.tracking_uri()).search_experiments()\n"
        "print(is_telemetry_disabled(), os.listdir(os.environ['SKELRAY_HOME']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "SKELRAY_HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert done.stdout.strip() == "True ['mlflow.db']"


def test_commit_of_a_checkout_and_of_nothing_else(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b", *arguments],
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    assert provenance.git_tags(tmp_path) == {}
    git("init", "-q")
    assert provenance.git_tags(tmp_path) == {}  # no commit yet
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "-qm", "first")
    commit = git("rev-parse", "HEAD")
    assert provenance.git_tags(tmp_path) == {"git_sha": commit, "git_dirty": "false"}
    (tmp_path / "file").write_text("2")
    assert provenance.git_tags(tmp_path) == {"git_sha": commit, "git_dirty": "true"}
    (tmp_path / "inside").mkdir()
    assert provenance.git_tags(tmp_path / "inside") == {}
