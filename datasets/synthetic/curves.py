"""Curves over time that movements and errors are made of; T frames."""

from __future__ import annotations

import numpy as np

FPS = 30


def smooth_step(fraction: np.ndarray) -> np.ndarray:
    """0 to 1 with the least jerk, as people move; constant outside 0…1."""
    x = np.clip(fraction, 0, 1)
    return x**3 * (10 - 15 * x + 6 * x**2)


def smooth_noise(
    rng: np.random.Generator, frames: int, shape: tuple[int, ...], hertz: tuple[float, float]
) -> np.ndarray:
    """(T, *shape): slow random curves of unit variance with frequencies between the two `hertz`."""
    waves = 4
    frequency = rng.uniform(*hertz, size=(waves, *shape))
    phase = rng.uniform(0, 2 * np.pi, size=(waves, *shape))
    time = np.arange(frames).reshape(-1, *(1,) * (len(shape) + 1)) / FPS
    return np.sin(2 * np.pi * frequency * time + phase).sum(axis=1) * np.sqrt(2 / waves)
