import copy

import torch
from torch import nn

from skelray.platform.nn.batch_norm import BatchNorm
from skelray.platform.nn.heads import projector
from skelray.platform.nn.moco import MomentumContrast, encoded_in_groups
from skelray.platform.nn.queue import FeatureQueue


def encoder():
    return nn.Sequential(nn.Linear(3, 4), BatchNorm(4))


def build():
    torch.manual_seed(0)
    encoders, projectors = (encoder(), encoder()), (projector(4, 4, 2), projector(4, 4, 2))
    return MomentumContrast(encoders, projectors, FeatureQueue(8, 2)).double()


def test_keys_follow_without_a_gradient():
    one = build()
    before = copy.deepcopy(one)
    one.move_key(0.75)
    for part in ("encoder", "projector"):
        online, first, moved = (
            dict(getattr(module, name).named_parameters())
            for module, name in ((before, part), (before, f"key_{part}"), (one, f"key_{part}"))
        )
        assert not any(p.requires_grad for p in moved.values())
        for name, value in moved.items():
            torch.testing.assert_close(value, 0.75 * first[name] + 0.25 * online[name])
    one.copy_to_key()
    x = torch.randn(6, 3, dtype=torch.float64)
    query, key = one.project(x, x)
    torch.testing.assert_close(query, key)
    assert query.requires_grad and not key.requires_grad


def test_groups_have_statistics_of_their_own_and_the_first_ones_are_kept():
    network = encoder().double()
    x = torch.randn(8, 3, dtype=torch.float64)
    apart = copy.deepcopy(network)
    expected = []
    for number, part in enumerate((x[:4], x[4:])):
        expected.append(apart(part))
        if number == 0:
            kept = {k: v.clone() for k, v in apart.state_dict().items() if "running" in k}
    features = encoded_in_groups(network, x, 2)
    assert torch.equal(features, torch.cat(expected))
    assert (features - encoded_in_groups(copy.deepcopy(network), x, 1)).abs().max() > 1e-2
    for name, value in kept.items():
        assert torch.equal(network.state_dict()[name], value)
    assert network[1].momentum == 0.1
