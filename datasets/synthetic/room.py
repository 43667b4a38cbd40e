"""The room behind the performers: floor, walls and what hangs on them, as a camera sees it.

A box around the place of the performance, the same for all cameras of a setup. Every pixel's ray is
followed to the first of the box's six sides; that side's pattern gives its colour.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from skelray.datasets.synthetic.camera import Lens, pose

# Metres: the box's corners. Cameras stand inside it, at most 4.1 from the middle and 2.9 to a side.
_LOW, _HIGH = np.array([-3.4, 0.0, -4.6]), np.array([3.4, 2.7, 2.2])
_PLANK, _PLANK_LENGTH = 0.19, 1.7
_PICTURES = 9  # on the walls


@lru_cache(maxsize=16)
def background(
    lens: Lens, *, camera: int, setup: int, width: int, height: int, seed: tuple[int, ...]
) -> np.ndarray:
    """(H, W, 3) uint8 RGB, read-only: the empty room; `seed` is that of the setup's room."""
    rng = np.random.default_rng(seed)
    point, axis, upper = _hit(lens, camera, setup, width, height)
    floor, ceiling = (axis == 1) & ~upper, (axis == 1) & upper
    wall = axis != 1
    tone = rng.uniform((150, 145, 135), (200, 195, 190))
    colour = np.empty_like(point)
    colour[ceiling] = (215, 215, 210)
    colour[floor] = _planks(point[floor], rng)
    along = np.where(axis == 0, point[..., 2], point[..., 0])
    side = 2 * axis + upper  # which of the walls
    colour[wall] = _wall(along[wall], point[wall][:, 1], side[wall], tone, rng)
    colour *= _corner_shade(point)[..., None]
    colour += rng.normal(0, 2.5, size=(height, width, 1))  # coarse plaster: static
    picture = np.clip(colour, 8, 235).astype(np.uint8)
    picture.flags.writeable = False
    return picture


def _hit(
    lens: Lens, camera: int, setup: int, width: int, height: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where each pixel's ray ends: point (H, W, 3), axis (H, W) of that side, at its upper end?"""
    eye, axes = pose(camera, setup)
    across = (np.arange(width) - lens.cx) / lens.fx
    down = (lens.cy - np.arange(height)) / lens.fy
    ray = np.empty((height, width, 3), dtype=np.float32)
    ray[..., 0], ray[..., 1], ray[..., 2] = across, down[:, None], 1
    ray = ray @ axes.astype(np.float32)
    ray[np.abs(ray) < 1e-6] = 1e-6
    start = (eye - lens.baseline * axes[0]).astype(np.float32)
    reach = (np.where(ray > 0, _HIGH, _LOW) - start) / ray
    axis = reach.argmin(axis=-1)
    reached = np.take_along_axis(reach, axis[..., None], -1)
    upper = np.take_along_axis(ray, axis[..., None], -1)[..., 0] > 0
    return (start + reached * ray).astype(np.float32), axis, upper


def _planks(point: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(N, 3): boards along x, each of its own tone and grain."""
    row = np.floor((point[:, 2] - _LOW[2]) / _PLANK).astype(int)
    along = (point[:, 0] - _LOW[0]) / _PLANK_LENGTH + 0.37 * row
    board = np.floor(along).astype(int)
    tones = rng.uniform(0.82, 1.12, size=997)
    grain = 0.03 * np.sin(90 * point[:, 2] + 5 * np.sin(3 * point[:, 0] + row))
    shade = tones[(row * 31 + board * 17) % len(tones)] + grain
    seam = (np.mod(point[:, 2] - _LOW[2], _PLANK) < 0.012) | (np.mod(along, 1) < 0.006)
    wood = rng.uniform((120, 88, 60), (165, 128, 95))
    return np.where(seam, 0.7, 1.0)[:, None] * shade[:, None] * wood


def _wall(
    along: np.ndarray,
    up: np.ndarray,
    side: np.ndarray,
    tone: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """(N, 3): paint with slow stains, a skirting board, and pictures, doors and boards."""
    stains = sum(
        np.sin(rng.uniform(0.5, 4) * along + rng.uniform(0.5, 4) * up + rng.uniform(0, 6.3) + side)
        for _ in range(4)
    )
    colour = tone * (1 + 0.015 * stains + 0.03 * (side % 3 - 1))[:, None]
    for _ in range(_PICTURES):
        where = rng.choice((0, 1, 5))  # the walls that cameras see: left, right, back
        left, low = rng.uniform(-2.4, 1.4), rng.choice((0.0, 0.9, 1.2))
        wide, high = rng.uniform(0.4, 1.1), rng.uniform(0.4, 0.9) if low else 2.0
        paint = rng.uniform((40, 50, 60), (220, 210, 200))
        aside, above = np.abs(along - left - wide / 2), np.abs(up - low - high / 2)
        inside = (side == where) & (aside < wide / 2) & (above < high / 2)
        frame = inside & ((aside > wide / 2 - 0.04) | (above > high / 2 - 0.04))
        stripes = 1 + 0.12 * np.sin(rng.uniform(8, 30) * along + rng.uniform(-20, 20) * up)
        colour[inside] = (stripes[:, None] * paint)[inside]
        colour[frame] = 0.5 * paint
    colour[up < 0.09] = 0.55 * tone
    return colour


def _corner_shade(point: np.ndarray) -> np.ndarray:
    """(H, W): light that does not reach the edges between two sides."""
    gaps = np.sort(np.minimum(point - _LOW, _HIGH - point), axis=-1)
    return 1 - 0.3 * np.exp(-gaps[..., 1] / 0.25)
