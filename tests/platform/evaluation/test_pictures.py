"""Pictures: which recordings they show, and that they are drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from PIL import Image

from skelray.platform.evaluation import pictures


def test_tsne_shows_at_most_ten_classes_and_1500_recordings_evenly() -> None:
    label = np.arange(6000) % 60
    rows = pictures.chosen(label)
    shown = np.unique(label[rows])
    assert len(shown) == 10 and shown[0] == 0 and shown[-1] == 59
    assert len(rows) == 1000
    assert len(pictures.chosen(np.arange(4000) % 3)) == 1500
    assert pictures.chosen(np.array([4, 2, 4])).tolist() == [0, 1, 2]


def test_tsne_is_drawn_again_alike_even_for_few_recordings(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    features, label = rng.normal(size=(12, 5)).astype(np.float32), np.arange(12) % 3
    first = pictures.tsne(tmp_path / "new" / "a.png", features, label, ["x", "y", "z"], "title")
    second = pictures.tsne(tmp_path / "b.png", features, label, ["x", "y", "z"], "title")
    assert np.array_equal(imread(first), imread(second))
    assert [path.name for path in first.parent.iterdir()] == ["a.png"]


def test_points_stay_near_where_they_were_before() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(90, 6)) + 8 * np.eye(6)[np.arange(90) % 3]
    first = pictures.plane(features)
    turned = first @ np.array([[0.0, 1], [-1, 0]])  # a quarter turn, as good a start
    moved = {
        "kept": np.linalg.norm(pictures.plane(features, turned) - turned, axis=1).mean(),
        "alone": np.linalg.norm(first - turned, axis=1).mean(),
    }
    assert moved["kept"] < 0.5 * moved["alone"]


@pytest.mark.parametrize("value", [0.0, 3.5])
def test_a_collapsed_encoder_is_drawn_as_a_point(value: float, tmp_path: Path) -> None:
    """Equal features end a process inside scikit-learn's t-SNE."""
    features, label = np.full((40, 8), value, np.float32), np.arange(40) % 2
    features += np.float32(1e-9)
    points = pictures.plane(features)
    assert (points == 0).all()
    assert pictures.scatter(tmp_path / "a.png", points, label, ["x", "y"], "title").exists()
    apart = np.random.default_rng(0).normal(size=(40, 8))
    assert np.isfinite(pictures.plane(apart, points)).all()


def test_an_animation_plays_its_frames_for_ever(tmp_path: Path) -> None:
    points, label = np.array([[0.0, 1], [1, 0]]), np.arange(2)
    frames = [
        pictures.scatter(tmp_path / f"{n}.png", points / n, label, ["x", "y"], f"epoch {n}")
        for n in (1, 2, 3)
    ]
    path = pictures.animation(tmp_path / "new/a.gif", frames, seconds=0.2)
    with Image.open(path) as film:
        assert film.n_frames == 3 and film.info["loop"] == 0
        durations = []
        for number in range(3):
            film.seek(number)
            durations.append(film.info["duration"])
    assert durations == [200, 200, 800]


def test_confusion_matrix_grows_with_the_classes(tmp_path: Path) -> None:
    label = np.arange(120)
    names = [f"class {i}" for i in range(120)]
    small = pictures.confusion(tmp_path / "s.png", label[:4], label[:4], names[:4], "title")
    large = pictures.confusion(tmp_path / "l.png", label, label[::-1], names, "title")
    assert imread(small).shape[0] < 1000 < 2500 < imread(large).shape[0]


def test_curves_take_records_without_a_rate_and_several_phases(tmp_path: Path) -> None:
    records = [{"phase": name, "metrics": {"train/loss": 1.0}} for name in "aabb"]
    assert pictures._phase_starts(records) == [2]
    assert imread(pictures.curves(tmp_path / "c.png", records, "title")).std() > 0
