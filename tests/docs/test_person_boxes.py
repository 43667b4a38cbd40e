"""What docs/person-boxes.md says: its detector's code, the command, the columns of the file."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

pytest.importorskip("av", reason="PyAV is of the extra [video]")

from skelray.platform.cli.app import app
from skelray.platform.clips import tracklets
from skelray.platform.data.boxes import SCHEMA, VideoBoxes
from skelray.platform.video.detection import detect, load_detector
from skelray.platform.video.writing import write_video

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/person-boxes.md").read_text(encoding="utf-8")
(DETECTOR,) = re.findall(r"^`detector.py`:\n\n```python\n(.*?)^```$", TEXT, re.M | re.S)


class Model(torch.nn.Module):
    """Stands for torchvision's: a person, a faint one and a chair in every picture."""

    def forward(self, pictures: list[Tensor]) -> list[dict[str, Tensor]]:
        assert all(p.dtype == torch.float32 and p.shape[0] == 3 for p in pictures)
        assert max(float(p.max()) for p in pictures) <= 1
        boxes = torch.tensor([[10.0, 20, 100, 200], [0, 0, 9, 9], [50, 50, 150, 150]])
        scores = torch.tensor([0.99, 0.3, 0.98])
        found = {"boxes": boxes, "labels": torch.tensor([1, 1, 62]), "scores": scores}
        return [found for _ in pictures]


@pytest.fixture
def torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules of its names: it is no dependency."""
    loaded = types.ModuleType("torchvision.models.detection")
    loaded.fasterrcnn_resnet50_fpn = lambda *, weights: Model()  # type: ignore[attr-defined]
    weights = types.SimpleNamespace(COCO_V1="COCO_V1")
    loaded.FasterRCNN_ResNet50_FPN_Weights = weights  # type: ignore[attr-defined]
    for name in ("torchvision", "torchvision.models"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, loaded.__name__, loaded)


@pytest.mark.usefixtures("torchvision")
def test_the_detector_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "detector.py").write_text(DETECTOR)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    name = shlex.split(re.findall(r"--detector (\S+)", TEXT)[0])[0]
    try:
        detector = load_detector(name)
    finally:
        sys.modules.pop("detector", None)
    found = detector(np.full((2, 240, 320, 3), 255, np.uint8))
    assert [boxes.shape for boxes in found] == [(2, 5), (2, 5)]
    write_video(tmp_path / "a.mp4", [np.zeros((240, 320, 3), np.uint8)] * 20, rate=30)
    boxes = detect(tmp_path / "a.mp4", detector)
    assert boxes.tolist() == [[10, 20, 100, 200, pytest.approx(0.99)]] * 20


def test_the_detector_of_the_page_is_short_and_passes_lint(tmp_path: Path) -> None:
    compile(DETECTOR, "detector.py", "exec")
    assert len([line for line in DETECTOR.splitlines() if line]) <= 30
    (tmp_path / "detector.py").write_text(DETECTOR)
    for verb in (["check"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *verb, "--no-cache"]
        settings = ["--config", str(ROOT / "pyproject.toml"), "detector.py"]
        done = subprocess.run([*command, *settings], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_command_of_the_page_is_there() -> None:
    names = [command.name for command in app.registered_commands]
    assert re.findall(r"^PYTHONPATH=. skelray (\w+) FOLDER", TEXT, re.M) == ["boxes"]
    assert "boxes" in names


def test_the_page_says_the_columns_and_the_fields() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+)", TEXT, re.M)
    assert rows == [(field.name, str(field.type).split("<")[0]) for field in SCHEMA]
    assert set(VideoBoxes.__annotations__) < {name for name, _ in rows}


def test_the_page_says_the_thresholds() -> None:
    rules = TEXT.partition("## From detections")[2].partition("## The file")[0]
    for value in (
        tracklets.KEPT_SCORE,
        tracklets.DUPLICATE_SHARE,
        tracklets.CERTAIN_SCORE,
        tracklets.LINK_IOU,
        tracklets.LINK_MISSES,
        tracklets.SHORT,
        tracklets.SMALL_AREA,
        tracklets.NEAR,
    ):
        assert re.search(rf"\b{value:g}\b", rules), value
    assert "({:g}, {:g})".format(*(tracklets.AS_PUBLISHED.centre or ())) in rules
