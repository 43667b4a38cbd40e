"""The page of animated skeletons: what is drawn where, and that a browser plays it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skelray.platform.data import animation
from skelray.platform.data.describe import describe
from skelray.platform.dataset import SkeletonSample
from skelray.platform.errors import UsageError
from skelray.platform.skeleton.specs import COCO, KINECT_V1
from tests.platform.data.recordings import Walks, walk
from tests.platform.data.stores import recording, write_store

HEAD, LEFT_FOOT, RIGHT_FOOT = 3, 15, 19  # of KINECT_V1


class Poses(Walks):
    """Two-dimensional poses in pixels."""

    skeleton = COCO
    classes = ("left", "right", "</script><b>round & round</b>")


def data_of(page: str) -> dict[str, Any]:
    """What the page's script reads."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


def standing(*, up: int, sign: int) -> SkeletonSample:
    """A body two units tall along an axis, one wide along the first of the others, 20 frames."""
    xyz = np.zeros((1, 20, 3), dtype=np.float32)
    level = min({0, 1, 2} - {up})
    xyz[0, :, level] = 5.0
    xyz[0, 4:8, level], xyz[0, 8:12, level] = 4.5, 5.5
    xyz[0, :, up] = 7.0
    xyz[0, HEAD, up] += sign
    xyz[0, [LEFT_FOOT, RIGHT_FOOT], up] -= sign
    return SkeletonSample(
        id="standing", frame_bodies=np.ones(20, np.int32), xyz=np.repeat(xyz, 20, axis=0)
    )


@pytest.mark.parametrize("up", [0, 1, 2])
@pytest.mark.parametrize("sign", [1, -1])
def test_heads_are_up_whatever_axis_that_is(up: int, sign: int) -> None:
    sample = standing(up=up, sign=sign)
    assert animation.up_axis([sample], KINECT_V1) == (up, sign)
    ((_, _, values),) = animation.frames(sample, (up, sign))[0]
    joints = np.array(values).reshape(20, 3)
    assert joints[HEAD].tolist() == pytest.approx([0, 1000, 0], abs=2)
    assert joints[LEFT_FOOT].tolist() == pytest.approx([0, -1000, 0], abs=2)
    assert joints[5].tolist() == pytest.approx([-500, 0, 0], abs=2)  # the lower value is left
    assert joints[9].tolist() == pytest.approx([500, 0, 0], abs=2)


def test_pixels_count_downwards() -> None:
    assert animation.up_axis([], COCO) == (1, -1)
    xy = np.array([[[10, 20], [30, 20], [10, 60]]], dtype=np.float32)
    sample = SkeletonSample(id="a", frame_bodies=np.array([1], np.int32), xyz=xy)
    (((_, _, values),),) = animation.frames(sample, (1, -1))
    first, right, below = np.array(values).reshape(3, 2)
    assert right[0] > first[0] and right[1] == first[1]
    assert below[0] == first[0] and below[1] < first[1]
    # one scale for both axes
    assert (first[1] - below[1]) / (right[0] - first[0]) == pytest.approx(2, rel=0.01)


def test_places_are_the_coordinates_moved_and_scaled() -> None:
    """Rounded to a thousandth of the view, frame after frame and body after body."""
    sample = walk(7)
    frames = animation.frames(sample, (1, 1))
    assert [len(frame) for frame in frames] == sample.frame_bodies.tolist()
    places = np.array([body[2] for frame in frames for body in frame]).reshape(-1, 3)
    flat = sample.xyz.reshape(-1, 3).astype(np.float64)
    scale = np.ptp(places[:, 0]) / np.ptp(flat[:, 0])
    moved = places - scale * flat
    np.testing.assert_allclose(moved, np.broadcast_to(moved.mean(0), moved.shape), atol=2)
    assert np.percentile(np.linalg.norm(places, axis=1), 99.5) == pytest.approx(1000, abs=2)


def test_persons_are_told_apart_by_id_then_by_place() -> None:
    ids = np.array([70, 9, 9, 70, 2**61])
    sample = recording("a", [2, 0, 2, 1], body_id=ids)
    assert animation.person_numbers(sample).tolist() == [0, 1, 1, 0, 2]
    assert animation.person_numbers(replace(sample, body_id=None)).tolist() == [0, 1, 0, 1, 0]
    persons = [[body[0] for body in frame] for frame in animation.frames(sample, (1, 1))]
    assert persons == [[0, 1], [], [1, 0], [2]]


def test_joints_that_are_not_seen_are_marked() -> None:
    state = np.full((2, 20), 2, dtype=np.int8)
    state[1, :3] = [0, 1, 2]
    sample = recording("a", [1, 1], joint_state=state)
    sample.xyz[1, 19] = 0
    looks = [body[1] for frame in animation.frames(sample, (1, 1)) for body in frame]
    assert looks == ["", "123" + "3" * 16 + "0"]
    score = np.full((2, 20), 0.9, dtype=np.float32)
    score[1, :3] = [0.0, 0.2, 0.3]
    scored = replace(sample, joint_state=None, score=score)
    looks = [body[1] for frame in animation.frames(scored, (1, 1)) for body in frame]
    assert looks == ["", "123" + "3" * 16 + "0"]


def test_one_stray_joint_does_not_shrink_the_rest() -> None:
    sample = recording("a", [1] * 20)
    sample.xyz[0, 0] = 1e30
    values = np.array([body[2] for frame in animation.frames(sample, (1, 1)) for body in frame])
    assert values[0, :3].tolist() == [20_000] * 3
    assert np.ptp(values[1:]) > 500 and np.abs(values[1:]).max() <= 1100


def test_the_page_is_whole_and_escapes_names() -> None:
    sample = SkeletonSample(
        id="<em>",
        frame_bodies=np.array([1] * 301, np.int32),
        xyz=np.random.default_rng(0).normal(size=(301, 17, 2)).astype(np.float32),
        label=2,
    )
    page = animation.page(Poses, [sample, replace(sample, label=None, fps=15.0)], "<pre>&")
    assert not re.search(r"https?:|\bsrc=|\bhref=|url\(|@import|fetch\(", page)  # no network
    assert "<b>" not in page and "<em>" not in page
    assert "&lt;/script&gt;&lt;b&gt;round &amp; round&lt;/b&gt;" in page
    assert "<pre>&lt;pre&gt;&amp;</pre>" in page
    data = data_of(page)
    assert data["skeleton"]["edges"] == [list(edge) for edge in COCO.edges]
    assert data["skeleton"]["left"] == [1, 3, 5, 7, 9, 11, 13, 15]
    assert [len(card["frames"]) for card in data["cards"]] == [300, 300]
    assert [card["fps"] for card in data["cards"]] == [30.0, 15.0]
    assert data["cards"][0]["facts"] == ["301 frames, the first 300 are shown", "played at 30 fps"]
    assert data["cards"][1]["title"] == "unlabelled"
    assert "turn a skeleton" not in page


def test_a_store_gives_a_page(tmp_path: Path) -> None:
    described = describe(
        Walks, write_store(tmp_path / "walks", [[walk(number) for number in range(20)]])
    )
    animation.write_page(tmp_path / "new/page.html", described, "numbers", seed=3)
    data = data_of((tmp_path / "new/page.html").read_text())
    assert len(data["cards"]) == animation.CARDS
    assert {card["title"] for card in data["cards"]} == set(Walks.classes)
    with pytest.raises(UsageError, match="new cannot be written"):
        animation.write_page(tmp_path / "new", described, "numbers", seed=3)


@pytest.mark.slow
def test_a_browser_plays_the_page(tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if not browser:
        pytest.skip("no chromium")
    script = """
      for (const player of players) player.setPlaying(false);
      players[0].setPlaying(true); players[0].advance(0.04); players[0].setPlaying(false);
      players[1].slider.value = 1; players[1].slider.dispatchEvent(new Event("input"));
      players[0].canvas.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowLeft"}));
      document.title = `yaw ${players[0].view.yaw}`;
    """
    page = animation.page(Walks, [walk(1), recording("b", [1, 0])], "")
    (tmp_path / "page.html").write_text(
        page.replace("</body>", f"<script>{script}</script></body>")
    )
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    where = [f"--user-data-dir={tmp_path / 'profile'}", (tmp_path / "page.html").as_uri()]
    command = [browser, *options, "--virtual-time-budget=2000", "--dump-dom", *where]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "CONSOLE" not in done.stderr, done.stderr
    counts = re.findall(r'<span class="count">(\d+ / \d+)<', done.stdout)
    assert counts == ["2 / 4", "2 / 2"]  # 0.04 s at 30 frames a second; by the slider
    assert "<title>yaw -0.15</title>" in done.stdout
    assert done.stdout.count(">Play</button>") == 2
    assert re.search(r'<canvas [^>]*tabindex="0"', done.stdout)
