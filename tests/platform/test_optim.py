"""Learning-rate schedules against hand-computed values and torch's schedulers."""

from __future__ import annotations

import math

import pytest
import torch

from skelray.platform.optim import Optimiser, Schedule, set_rate


def test_milestones_count_epochs_or_shares() -> None:
    schedule = Schedule(name="steps", milestones=(250,))
    assert [schedule.factor(epoch, 300) for epoch in (0, 249, 250, 299)] == [1, 1, 0.1, 0.1]
    share = Schedule(name="steps", milestones=(0.5, 0.75), gamma=0.5)
    assert [share.factor(epoch, 8) for epoch in (3, 4, 5, 6)] == [1, 0.5, 0.5, 0.25]


def test_cosine_equals_torch() -> None:
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=20, eta_min=0.01)
    ours = Schedule(name="cosine", final=0.01)
    for epoch in range(20):
        assert ours.factor(epoch, 20) == pytest.approx(reference.get_last_lr()[0], abs=1e-12)
        optimiser.step()
        reference.step()


def test_warmup_rises_linearly_then_hands_over() -> None:
    by_epoch = Schedule(name="cosine", warmup_epochs=4)
    assert [by_epoch.factor(e, 10) for e in range(4)] == [0.25, 0.5, 0.75, 1.0]
    by_step = Schedule(name="cosine", warmup_epochs=2, per="step")
    assert by_step.factor(0, 10, 0.5) == 0.25
    assert by_step.factor(6, 10) == pytest.approx(0.5 * (1 + math.cos(math.pi * 4 / 8)))


def test_groups_scale_the_rate() -> None:
    head, body = (torch.nn.Parameter(torch.zeros(2)) for _ in range(2))
    optimiser = Optimiser(lr=0.1).build([{"params": [body], "lr_scale": 0.5}, {"params": [head]}])
    assert [group["lr"] for group in optimiser.param_groups] == [0.05, 0.1]
    set_rate(optimiser, 0.02)
    assert [group["lr"] for group in optimiser.param_groups] == [0.01, 0.02]
