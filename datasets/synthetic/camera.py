"""Three depth cameras: where they stand and what they see.

A camera's axes are Kinect's: x to the left of the sensor (to the right in its mirrored image), y
up, z away from it, metres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Degrees about the vertical. As in NTU RGB+D, camera 1 stands between the other two and a performer
# faces camera 2 in the first replication, camera 3 in the second: camera 1 only sees 45-degree
# views, cameras 2 and 3 see the front once and the side once.
AZIMUTHS = {1: 0.0, 2: -45.0, 3: 45.0}
FACED = {1: 2, 2: 3}  # replication -> camera
# Height and distance in metres. NTU has setups 1 to 32: so no recording's name is one of theirs.
SETUPS = {33: (1.7, 3.5), 34: (1.4, 2.9), 35: (1.2, 3.2), 36: (2.1, 4.1)}
_TARGET = np.array([0.0, 0.95, 0.0])  # the point of the room in the middle of every image


@dataclass(frozen=True)
class Lens:
    """A pinhole: focal lengths and middle of the image in pixels, shift in metres."""

    fx: float
    fy: float
    cx: float
    cy: float
    baseline: float = 0.0

    def project(self, xyz: np.ndarray) -> np.ndarray:
        """(…, 2) pixels of points (…, 3) in the camera's axes; y of the image leads down."""
        x, y, z = np.moveaxis(xyz, -1, 0)
        return np.stack(
            [self.fx * (x + self.baseline) / z + self.cx, self.cy - self.fy * y / z], axis=-1
        )

    def resized(self, across: float, down: float) -> Lens:
        """The lens of the same image resized by these factors; pixel 0 lies from -0.5 to 0.5."""
        return Lens(
            self.fx * across,
            self.fy * down,
            (self.cx + 0.5) * across - 0.5,
            (self.cy + 0.5) * down - 0.5,
            self.baseline,
        )


DEPTH = Lens(366.6, 366.6, 256.0, 208.0)  # 512 x 424
COLOR = Lens(1081.4, 1081.4, 959.5, 539.5, baseline=0.052)  # beside the depth lens
COLOR_SIZE = (1920, 1080)  # width and height


def azimuth(camera: int) -> float:
    """The camera's direction from the room's origin, in radians; 0 is -z, positive leads to +x."""
    return float(np.radians(AZIMUTHS[camera]))


def pose(camera: int, setup: int) -> tuple[np.ndarray, np.ndarray]:
    """Where a camera stands in the room, (3,) metres, and its three axes there, (3, 3) rows."""
    height, distance = SETUPS[setup]
    angle = azimuth(camera)
    eye = np.array([distance * np.sin(angle), height, -distance * np.cos(angle)])
    forward = (_TARGET - eye) / np.linalg.norm(_TARGET - eye)
    side = np.cross([0.0, 1.0, 0.0], forward)
    side /= np.linalg.norm(side)
    return eye, np.stack([side, np.cross(forward, side), forward])


def seen_from(room: np.ndarray, *, camera: int, setup: int) -> np.ndarray:
    """Points (…, 3) of the room in the camera's axes."""
    eye, axes = pose(camera, setup)
    return (room - eye) @ axes.T
