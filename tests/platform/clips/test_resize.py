"""Resizing equals OpenCV to the last bit, and in floating point to half a grey level more."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from skelray.platform.clips.resize import resize, resize_as_opencv

cv2 = pytest.importorskip("cv2", reason="OpenCV is of the extra [video]")

SIZES = [
    ((256, 256), (224, 224)),
    ((187, 231), (224, 224)),
    ((540, 300), (256, 256)),
    ((100, 61), (256, 256)),
    ((31, 33), (7, 90)),
    ((1, 5), (4, 4)),
    ((224, 224), (224, 224)),
    ((448, 448), (224, 224)),
]


@pytest.mark.parametrize(("before", "after"), SIZES)
def test_resizing_equals_opencv(before: tuple[int, int], after: tuple[int, int]) -> None:
    generator = np.random.default_rng(0)
    frames = generator.integers(0, 256, (3, *before, 3), dtype=np.uint8)
    frames[0] = 255  # where an overflow would show
    expected = np.stack([cv2.resize(frame, after[::-1]) for frame in frames])
    exact = resize_as_opencv(torch.from_numpy(frames), *after)
    np.testing.assert_array_equal(exact.numpy(), expected)
    close = resize(torch.from_numpy(frames), *after)
    assert close.dtype == torch.float32
    np.testing.assert_allclose(close.numpy(), expected, atol=1.0)
