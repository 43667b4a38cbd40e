import numpy as np
import pytest
import torch

from skelray.platform.augment.temporal import temporal_crop


def slow_crop(clip, start, padding):
    """One clip (C, T, V, M), frame after frame."""
    frames = clip.shape[1]
    order = [*reversed(range(padding)), *range(frames)]
    order += [frames - 1 - i for i in range(padding)]
    return np.stack([clip[:, t] for t in order[start : start + frames]], axis=1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("frames", "padding"), [(50, 8), (7, 1), (5, 5), (4, 0)])
def test_equals_the_slow_reference_at_every_start(frames, padding, dtype):
    start = torch.arange(2 * padding + 1)
    x = torch.randn(len(start), 3, frames, 4, 2, dtype=dtype)
    out = temporal_crop(x, start, padding)
    assert out.shape == x.shape and out.dtype == dtype
    for clip, got, u in zip(x.numpy(), out.numpy(), start.tolist(), strict=True):
        np.testing.assert_array_equal(got, slow_crop(clip, u, padding))


def test_numpy_pads_alike():
    x = torch.arange(10.0).view(1, 1, 10, 1, 1).repeat(7, 1, 1, 1, 1)
    padded = np.pad(np.arange(10.0), 3, mode="symmetric")
    out = temporal_crop(x, torch.arange(7), 3)
    for u in range(7):
        np.testing.assert_array_equal(out[u].flatten(), padded[u : u + 10])


def test_identity_and_both_ends():
    x = torch.arange(6.0).view(1, 1, 6, 1, 1)

    def crop(start, padding):
        return temporal_crop(x, torch.tensor([start]), padding).flatten().tolist()

    assert crop(2, 2) == [0, 1, 2, 3, 4, 5]
    assert crop(0, 2) == [1, 0, 0, 1, 2, 3]
    assert crop(4, 2) == [2, 3, 4, 5, 5, 4]
    assert crop(0, 0) == [0, 1, 2, 3, 4, 5]  # clips shorter than the ratio get no padding


def test_more_padding_than_frames_is_refused():
    with pytest.raises(AssertionError):
        temporal_crop(torch.zeros(1, 3, 4, 2, 1), torch.tensor([0]), 5)
