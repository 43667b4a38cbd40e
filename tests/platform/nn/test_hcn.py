import pytest
import torch
from torch import nn
from torch.nn import functional

from skelray.platform.nn.hcn import HCN, motion


def build(**arguments):
    torch.manual_seed(0)
    encoder = HCN(**{"joints": 20, "frames": 32, "channels": 16, "dropout": 0.0, **arguments})
    for module in encoder.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.bias, std=0.1)
    return encoder.double()


def plain(encoder, x):
    """One sample (C, T, V, M): each person by itself, then the maximum."""
    found = []
    for person in x.unbind(-1):
        parts = []
        for branch, y in ((encoder.position, person), (encoder.motion, plain_motion(person))):
            first, second, third, fourth = (m for m in branch if isinstance(m, nn.Conv2d))
            y = second(functional.relu(first(y[None])))
            y = functional.max_pool2d(third(y.permute(0, 3, 2, 1)), 2)
            parts.append(functional.max_pool2d(fourth(y), 2))
        y = torch.cat(parts, dim=1)
        for convolution in (m for m in encoder.merged if isinstance(m, nn.Conv2d)):
            y = functional.max_pool2d(functional.relu(convolution(y)), 2)
        found.append(y.flatten())
    return torch.stack(found).max(dim=0).values


def plain_motion(x):
    """Frame by frame: T - 1 differences read at T places, half-pixel centres, ends kept."""
    steps, frames = x[:, 1:] - x[:, :-1], x.shape[1]
    resized = torch.empty_like(x)
    for t in range(frames):
        place = max(0.0, (t + 0.5) * (frames - 1) / frames - 0.5)
        before = int(place)
        after = min(before + 1, frames - 2)
        resized[:, t] = torch.lerp(steps[:, before], steps[:, after], place - before)
    return resized


@pytest.mark.parametrize("persons", [1, 2, 3])
def test_equals_a_plain_formulation(persons):
    encoder = build()
    x = torch.randn(3, 3, 32, 20, persons, dtype=torch.float64)
    features = encoder(x)
    assert features.shape == (3, 4 * 16 * 2 * 1) == (3, encoder.feature_dim)
    expected = torch.stack([plain(encoder, sample) for sample in x])
    torch.testing.assert_close(features, expected, rtol=0, atol=1e-12)


def test_motion_is_resized_along_time_alone():
    x = torch.randn(2, 3, 64, 25, dtype=torch.float64)
    torch.testing.assert_close(motion(x)[1], plain_motion(x[1]), rtol=0, atol=1e-12)


def test_absent_persons_take_part_in_the_maximum():
    encoder = build()
    x = torch.randn(2, 3, 32, 20, 2, dtype=torch.float64)
    x[..., 1] = 0
    alone, nobody = encoder(x[..., :1]), encoder(x[..., 1:])
    assert torch.equal(encoder(x), torch.maximum(alone, nobody))
    assert (nobody > alone).any()


def test_dropout_leaves_out_whole_channels_in_training_alone():
    encoder = build(dropout=0.5).train()
    rows = torch.ones(64, 32, 4, 4, dtype=torch.float64)
    (layer,) = (m for m in encoder.position if isinstance(m, nn.Dropout2d))
    dropped = layer(rows).flatten(2)
    assert ((dropped == 0).all(2) | (dropped == 2).all(2)).all()
    assert len([m for m in encoder.modules() if isinstance(m, nn.Dropout2d)]) == 4
    x = torch.randn(2, 3, 32, 20, 2, dtype=torch.float64)
    assert not torch.equal(encoder(x), encoder(x))
    assert torch.equal(encoder.eval()(x), build().eval()(x))


def test_published_size_and_initialisation():
    encoder = HCN(joints=25)
    assert encoder.feature_dim == 4096
    assert sum(p.numel() for p in encoder.parameters()) == 519_424
    last = encoder.merged[4]
    limit = (6 / (9 * (128 + 256))) ** 0.5
    assert 0.99 * limit < last.weight.abs().max() <= limit and not last.bias.any()


def test_too_few_frames_or_channels_are_refused():
    with pytest.raises(ValueError, match="8 frames and 64 channels: HCN needs 16 of each"):
        HCN(joints=25, frames=8)
