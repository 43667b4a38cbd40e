from __future__ import annotations

import torch
from torch import nn

from skelray.platform.nn.batch_norm import BatchNorm
from skelray.platform.nn.modes import fixed_statistics


def test_batches_may_leave_the_running_statistics_as_they_are() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 4), BatchNorm(4), nn.BatchNorm1d(4, momentum=0.3))
    module(torch.randn(8, 3))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with fixed_statistics(module):
        normalised = module(torch.randn(8, 3) + 5)
    torch.testing.assert_close(normalised.mean(0), torch.zeros(4), atol=1e-5, rtol=0)
    for name, value in module.state_dict().items():
        if "running" in name:
            assert torch.equal(value, before[name]), name
    assert (module[1].momentum, module[2].momentum) == (0.1, 0.3)
    module(torch.randn(8, 3) + 5)
    assert not torch.equal(module[1].running_mean, before["1.running_mean"])
