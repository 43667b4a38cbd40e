import numpy as np
import pytest
import torch
from torch.nn import functional

from skelray.platform.augment.temporal import (
    central_crop,
    crop_resize,
    random_crop,
    temporal_crop,
)
from skelray.platform.method import Draws, Ragged


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


def ragged(*lengths, dtype=torch.float64):
    offsets = torch.tensor([0, *np.cumsum(lengths)])
    frames = torch.randn(sum(lengths), 2, 5, 3, dtype=dtype)
    return Ragged(
        frames=frames,
        offsets=offsets,
        present=torch.ones(sum(lengths), 2, dtype=torch.bool),
        length=torch.tensor(lengths),
    )


def test_resizing_a_stretch_equals_interpolation_by_torch():
    clips = ragged(90, 64, 7, 1, 300)
    start, count = torch.tensor([11, 0, 2, 0, 100]), torch.tensor([70, 64, 5, 1, 200])
    out = crop_resize(clips, start, count, 64)
    assert out.shape == (5, 3, 64, 5, 2)
    for i, (first, n) in enumerate(zip(start.tolist(), count.tolist(), strict=True)):
        stretch = clips.frames[clips.offsets[i] + first :][:n]  # (n, M, V, C)
        flat = stretch.reshape(1, n, -1).transpose(1, 2)
        wanted = functional.interpolate(flat, size=64, mode="linear", align_corners=False)
        wanted = wanted[0].T.reshape(64, 2, 5, 3).permute(3, 0, 2, 1)
        torch.testing.assert_close(out[i], wanted, rtol=0, atol=1e-12)
    assert torch.equal(out[1], clips.frames[90:154].permute(3, 0, 2, 1))  # 64 frames: the identity


def test_recordings_without_frames_become_zeros():
    clips = ragged(3, 0)
    out = crop_resize(clips, torch.zeros(2, dtype=torch.int64), clips.length, 4)
    assert out[0].any() and not out[1].any()


def test_random_stretches_are_a_share_of_the_recording_but_not_too_short():
    length = torch.tensor([300] * 2000 + [100] * 2000 + [40, 64, 0])
    draws = Draws(0, 0, torch.arange(len(length)))
    start, count = random_crop(draws, "q", length, low=0.1, shortest=64)
    assert (start >= 0).all() and (start + count <= length).all()
    assert count[-3:].tolist() == [40, 64, 0] and start[-3:].tolist() == [0, 0, 0]
    # of 300 frames a share below 64/300 gives 64: (64/300 - 0.1)/0.9 of them
    assert (count[:2000] == 64).float().mean() == pytest.approx(0.126, abs=0.03)
    assert count[:2000].max() > 295
    free = 300 - count[:2000]
    place = (start[:2000] / free.clamp(min=1))[free > 50]
    assert place.mean() == pytest.approx(0.5, abs=0.03) and place.max() == 1
    replayed = Draws(0, 0, torch.arange(3)).replay(
        {"q/ratio": torch.tensor([0.5, 1.0, 0.0]), "q/start": torch.tensor([0.0, 0.5, 0.999])}
    )
    start, count = random_crop(replayed, "q", torch.tensor([200, 200, 200]), low=0.1, shortest=64)
    assert count.tolist() == [110, 200, 64] and start.tolist() == [0, 0, 136]


def test_central_stretches_cut_as_much_at_both_ends():
    length = torch.tensor([300, 100, 39, 40, 41, 0])
    start, count = central_crop(length, 0.95)
    wanted = [int((1 - 0.95) * n / 2) for n in length.tolist()]
    assert start.tolist() == wanted
    assert (2 * start + count).tolist() == length.tolist()
    assert torch.equal(central_crop(length, 1.0)[1], length)


def test_several_stretches_of_each_recording_at_once():
    clips = ragged(90, 0, 7)
    start, count = torch.tensor([[11, 0, 2], [0, 0, 0]]), torch.tensor([[70, 0, 5], [90, 0, 1]])
    out = crop_resize(clips, start, count, 16)
    assert out.shape == (2, 3, 3, 16, 5, 2)
    for k in range(2):
        assert torch.equal(out[k], crop_resize(clips, start[k], count[k], 16))
    draws = Draws(0, 0, torch.arange(50))
    length = torch.full((50,), 200)
    start, count = random_crop(draws, "q", length, low=0.1, shortest=8, crops=(4,))
    assert start.shape == count.shape == (4, 50)
    drawn = {name: draws.uniform(f"q/{name}", 4) for name in ("ratio", "start")}
    for k in range(4):
        one = Draws(0, 0, torch.arange(50)).replay({f"q/{n}": v[:, k] for n, v in drawn.items()})
        alone = random_crop(one, "q", length, low=0.1, shortest=8)
        assert torch.equal(start[k], alone[0]) and torch.equal(count[k], alone[1])
