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


def test_vectors_do_not_decay_on_request() -> None:
    table, weight, bias, slope = (
        torch.nn.Parameter(torch.ones(shape)) for shape in ((1, 4, 2), (2, 2), (2,), ())
    )
    groups = [{"params": [table, bias], "lr_scale": 0.5}, {"params": [weight]}, {"params": [slope]}]
    settings = {"name": "adamw", "lr": 0.1, "weight_decay": 0.5}
    optimiser = Optimiser(**settings, decay_vectors=False).build(groups)
    found = [
        (tuple(map(id, g["params"])), g["weight_decay"], g["lr"]) for g in optimiser.param_groups
    ]
    assert found == [
        ((id(table),), 0.5, 0.05),
        ((id(bias),), 0.0, 0.05),
        ((id(weight),), 0.5, 0.1),
        ((id(slope),), 0.0, 0.1),
    ]
    for parameter in (table, weight, bias, slope):
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    assert table.eq(0.975).all() and weight.eq(0.95).all()
    assert bias.eq(1).all() and slope == 1
    set_rate(optimiser, 0.02)
    assert [group["lr"] for group in optimiser.param_groups] == [0.01, 0.01, 0.02, 0.02]
    every = Optimiser(**settings).build(groups).param_groups
    assert [group["weight_decay"] for group in every] == [0.5, 0.5, 0.5]


@pytest.mark.parametrize(("name", "after"), [("adam", 0.9), ("adamw", 0.95)])
def test_adam_decays_through_the_gradient_and_adamw_beside_it(name: str, after: float) -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    optimiser = Optimiser(name=name, lr=0.1, weight_decay=0.5).build([{"params": [weight]}])
    weight.grad = torch.zeros_like(weight)
    optimiser.step()  # Adam's first step is the rate long, whatever the gradient's size
    assert weight.tolist() == pytest.approx([after] * 2)
