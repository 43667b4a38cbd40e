"""Cameras, projection and the tracker's errors."""

import numpy as np
import pytest

from skelray.datasets.synthetic.camera import AZIMUTHS, COLOR, DEPTH, SETUPS, seen_from
from skelray.datasets.synthetic.tracking import track


@pytest.mark.parametrize("setup", sorted(SETUPS))
@pytest.mark.parametrize("camera", sorted(AZIMUTHS))
def test_camera_looks_at_the_rooms_middle_and_keeps_lengths(camera, setup):
    height, distance = SETUPS[setup]
    middle = seen_from(np.array([0.0, 0.95, 0.0]), camera=camera, setup=setup)
    np.testing.assert_allclose(middle, (0, 0, np.hypot(distance, height - 0.95)), atol=1e-12)
    np.testing.assert_allclose(DEPTH.project(middle), (256, 208))
    points = np.random.default_rng(0).normal(size=(25, 3))
    seen = seen_from(points, camera=camera, setup=setup)
    np.testing.assert_allclose(
        np.linalg.norm(seen[1:] - seen[:-1], axis=-1),
        np.linalg.norm(points[1:] - points[:-1], axis=-1),
    )
    triple = np.linalg.det(seen[1:4] - seen[0]) / np.linalg.det(points[1:4] - points[0])
    assert triple == pytest.approx(1)  # no mirror


def test_up_is_up_and_the_cameras_stand_45_degrees_apart():
    up = np.array([0.0, 1.95, 0.0])
    for camera in AZIMUTHS:
        assert seen_from(up, camera=camera, setup=33)[1] > 0.9
    right = np.array([1.0, 0.95, 0.0])  # right of who faces camera 1
    across = {camera: seen_from(right, camera=camera, setup=33)[0] for camera in AZIMUTHS}
    assert across[1] == pytest.approx(1)
    assert across[2] == pytest.approx(np.sqrt(0.5)) and across[3] == pytest.approx(np.sqrt(0.5))
    depth = {camera: seen_from(right, camera=camera, setup=33)[2] for camera in AZIMUTHS}
    assert depth[3] < depth[1] < depth[2]  # camera 3 stands on that side


def test_projection_by_hand():
    point = np.array([0.5, 0.25, 2.5])
    np.testing.assert_allclose(DEPTH.project(point), (256 + 366.6 / 5, 208 - 366.6 / 10))
    np.testing.assert_allclose(COLOR.project(point), (959.5 + 1081.4 * 0.552 / 2.5, 539.5 - 108.14))


def still_body():
    """(1, T, V, 3): joints spread to the side of the trunk, so that none is hidden."""
    body = np.zeros((1, 100, 25, 3))
    body[..., 2] = 3.0
    body[..., 0] = 0.5
    body[:, :, (0, 20), 0] = 0
    body[:, :, 20, 1] = 0.5
    return body


def test_tracked_joints_jitter_by_millimetres_inferred_ones_more():
    body = still_body()
    seen, state = track(body, np.random.default_rng(0))
    assert seen.shape == body.shape and set(np.unique(state)) == {1, 2}
    assert 0.02 < (state == 1).mean() < 0.25
    moved = seen - np.median(seen, axis=1, keepdims=True)
    error = np.linalg.norm(moved, axis=-1)
    assert 0.001 < np.median(error[state == 2]) < 0.02
    assert np.median(error[state == 1]) > 0.03
    assert (state[:, :, (0, 1, 20)] == 2).all()


def test_a_hand_behind_the_trunk_is_inferred():
    body = still_body()
    body[:, :, 11] = (0.02, 0.25, 3.3)
    _, state = track(body, np.random.default_rng(0))
    assert (state[:, :, 11] == 1).all()
    body[:, :, 11, 2] = 2.7  # in front of it
    _, state = track(body, np.random.default_rng(0))
    assert (state[:, :, 11] == 2).mean() > 0.5
