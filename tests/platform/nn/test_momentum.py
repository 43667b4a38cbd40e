import copy

import pytest
import torch
from torch import nn

from skelray.platform.nn.momentum import copy_parameters, freeze, momentum_update


def network():
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_update_is_the_weighted_mean_of_parameters_only(dtype):
    online, teacher = network().to(dtype), freeze(network().to(dtype))
    online(torch.randn(8, 3, dtype=dtype))  # moves the running statistics
    before, source = copy.deepcopy(teacher), copy.deepcopy(online)
    momentum_update(online, teacher, 0.9)
    for ours, new, old in zip(
        online.parameters(), teacher.parameters(), before.parameters(), strict=True
    ):
        torch.testing.assert_close(new, 0.9 * old + 0.1 * ours, rtol=1e-6, atol=1e-7)
    for new, old in zip(teacher.buffers(), before.buffers(), strict=True):
        assert torch.equal(new, old)
    for key, value in source.state_dict().items():
        assert torch.equal(online.state_dict()[key], value)


def test_repeated_updates_follow_the_closed_form():
    online, teacher = nn.Linear(3, 2).double(), nn.Linear(3, 2).double()
    start = teacher.weight.detach().clone()
    for _ in range(5):
        momentum_update(online, teacher, 0.8)
    torch.testing.assert_close(teacher.weight, online.weight + 0.8**5 * (start - online.weight))


def test_a_shared_parameter_moves_once_per_call():
    def tied():
        layer = nn.Linear(2, 2, bias=False)
        return nn.Sequential(layer, nn.ReLU(), layer)

    online, teacher = tied(), tied()
    old = teacher[0].weight.detach().clone()
    momentum_update(online, teacher, 0.5)
    torch.testing.assert_close(teacher[0].weight, (old + online[0].weight) / 2)


def test_copy_leaves_buffers():
    online, teacher = network(), network()
    online(torch.randn(8, 3) + 5)
    copy_parameters(online, teacher)
    for ours, theirs in zip(online.parameters(), teacher.parameters(), strict=True):
        assert torch.equal(ours, theirs) and ours.data_ptr() != theirs.data_ptr()
    assert not teacher[1].running_mean.any()


def test_freeze():
    module = network()
    assert freeze(module) is module
    assert not any(p.requires_grad for p in module.parameters())


def test_networks_that_differ_are_refused():
    with pytest.raises(AssertionError):
        momentum_update(nn.Linear(3, 2), nn.Linear(3, 2, bias=False), 0.9)
    with pytest.raises(AssertionError, match="weight"):
        momentum_update(nn.Linear(1, 2), nn.Linear(3, 2), 0.9)
