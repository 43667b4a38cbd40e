"""Draws a recording as a camera's pictures: persons with clothes in a room. Needs OpenCV.

The picture is Kinect's, mirrored: a camera's x leads to the right in it. P persons, T frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import cv2
import numpy as np

from skelray.datasets.synthetic.camera import Lens, pose
from skelray.datasets.synthetic.figure import FLAT, PARTS, balls, clothes
from skelray.datasets.synthetic.recordings import (
    CLOTHES,
    ROOM,
    SENSOR,
    Recording,
    generator,
    performers,
    true_bodies,
)
from skelray.datasets.synthetic.room import background
from skelray.platform.skeleton.specs import KINECT_V2

_SHIFT = 4  # coordinates in sixteenths of a pixel
_CIRCLE = np.stack([f(np.linspace(0, 2 * np.pi, 12, endpoint=False)) for f in (np.cos, np.sin)], 1)
# A part is drawn three times, the later the lighter: factor of the radius, shift towards the light
# in radii (x and y of the camera), factor of the colour.
_LAYERS = (
    (1.0, (0.0, 0.0, 0.0), 0.6),
    (0.86, (-0.06, 0.06, 0.0), 0.88),
    (0.5, (-0.25, 0.25, 0.0), 1.05),
)
_ENDS = np.cumsum([0, *(len(part.balls) for part in PARTS)]).tolist()
_SHADOW = 0.62  # of the floor's light
_STANDING = tuple(
    KINECT_V2.joints.index(name)
    for name in ("left ankle", "left foot", "right ankle", "right foot", "base of spine")
)
_NOISE = 7  # grey levels between the darkest and lightest the sensor makes of one


def frames_of(
    recording: Recording, seed: int, *, lens: Lens, width: int, height: int
) -> Iterator[np.ndarray]:
    """The recording's pictures, (H, W, 3) uint8 RGB, one per frame of its skeleton file.

    Args:
        recording: what is performed, by whom and where.
        seed: of the set.
        lens: what is seen, in pixels of this size: `COLOR.resized(…)` for NTU's pictures.
        width: of the picture.
        height: of the picture.
    """
    bodies = true_bodies(recording, seed)
    room = background(
        lens,
        camera=recording.camera,
        setup=recording.setup,
        width=width,
        height=height,
        seed=(seed, ROOM, recording.setup),
    )
    dark = (room * _SHADOW).astype(np.uint8)
    rng = generator(seed, SENSOR, recording)
    noise = rng.integers(0, _NOISE, size=(height + 32, width + 32, 3), dtype=np.uint8)
    offsets = rng.integers(0, 32, size=(bodies.shape[1], 2))
    figures = _Figures(
        bodies, [_clothes_of(number, seed) for number in performers(recording)], lens
    )
    shadows = _shadows(bodies, lens, recording)
    for frame, (down, right) in enumerate(offsets):
        picture = room.copy()
        mask = np.zeros((height, width), dtype=np.uint8)
        for outline in shadows[:, frame]:
            cv2.fillConvexPoly(mask, cv2.convexHull(outline), 255, cv2.LINE_8, _SHIFT)
        cv2.copyTo(dark, mask, picture)
        figures.draw(picture, frame)
        yield cv2.add(picture, noise[down : down + height, right : right + width])


def _clothes_of(subject: int, seed: int) -> Mapping[str, np.ndarray]:
    return clothes(np.random.default_rng((seed, CLOTHES, subject)))


class _Figures:
    """The persons of a recording, ready to be drawn frame by frame."""

    def __init__(
        self, bodies: np.ndarray, colours: list[Mapping[str, np.ndarray]], lens: Lens
    ) -> None:
        middles = balls(bodies)[:, :, np.concatenate([part.indices for part in PARTS])]
        radii = np.concatenate([[radius for _, radius in part.balls] for part in PARTS])
        depth = np.stack([middles[:, :, _of(part), 2].mean(axis=2) for part in range(len(PARTS))])
        depth = np.moveaxis(depth, 0, -1) - [part.front for part in PARTS]  # (P, T, parts)
        self._order = np.argsort(-np.concatenate(list(depth), axis=-1), axis=-1)
        near = bodies[:, :, KINECT_V2.root, 2, None] - depth
        self._outlines, self._colours = [], []  # by layer
        painted = np.array([[each[part.material] for part in PARTS] for each in colours])
        light = np.clip(1 + 0.4 * near, 0.75, 1.15)[..., None] * painted[:, None]
        for size, shift, factor in _LAYERS:
            self._outlines.append(
                _discs(lens, middles + np.multiply.outer(radii, shift), size * radii)
            )
            self._colours.append(np.clip(factor * light, 0, 248))  # (P, T, parts, RGB)

    def draw(self, picture: np.ndarray, frame: int) -> None:
        """Draws everybody's parts into the picture, what is far away first."""
        for place in self._order[frame].tolist():
            person, part = divmod(place, len(PARTS))
            points = _of(part, len(_CIRCLE))
            for layer in (1,) if PARTS[part].material in FLAT else range(len(_LAYERS)):
                hull = cv2.convexHull(self._outlines[layer][person, frame, points])
                colour = self._colours[layer][person, frame, part].tolist()
                cv2.fillConvexPoly(picture, hull, colour, cv2.LINE_AA, _SHIFT)


def _of(part: int, each: int = 1) -> slice:
    """A part's balls among those of all parts one after another, `each` rows for a ball."""
    return slice(_ENDS[part] * each, _ENDS[part + 1] * each)


def _discs(lens: Lens, middles: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """(P, T, balls x points, 2): outlines of balls (P, T, balls, 3) of those radii in metres."""
    reach = lens.fx * radii / middles[..., 2]
    return _drawn(lens.project(middles)[..., None, :] + reach[..., None, None] * _CIRCLE)


def _drawn(pixels: np.ndarray) -> np.ndarray:
    """(P, T, points, 2) int32 in the drawing's fractions of pixels, of (P, T, …, 2) pixels."""
    return np.rint(pixels.reshape(*pixels.shape[:2], -1, 2) * 2**_SHIFT).astype(np.int32)


def _shadows(bodies: np.ndarray, lens: Lens, recording: Recording) -> np.ndarray:
    """(P, T, points, 2): what lies on the floor below feet and pelvis, light falling from above."""
    eye, axes = pose(recording.camera, recording.setup)
    room = bodies[:, :, _STANDING] @ axes + eye
    room[..., 1] = 0
    rim = np.insert(0.1 * _CIRCLE, 1, 0, axis=1)  # (points, 3) on the floor, metres
    points = room[..., None, :] + rim
    return _drawn(lens.project((points - eye) @ axes.T))
