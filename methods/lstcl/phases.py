"""The phases of LSTCL: links by prediction, links with video losses, then the encoder.

Source: configuration files of AnshulRustogi/Long-Term-Spatio-Temporal-Framework.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from skelray.methods.lstcl.config import LSTCLConfig
from skelray.platform.method import Phase
from skelray.platform.optim import Optimiser, Schedule

PARTIAL, FULL, ENCODER = "aim_partial", "aim_full", "encoder"


def phases(config: LSTCLConfig, *, recognition: bool) -> Iterator[Phase]:
    """All of them in order; `recognition`: whether there is a recognition head to train."""
    links = Optimiser(name="adam", lr=config.link_lr)
    for name, epochs, trained in (
        (PARTIAL, config.link_epochs[0], ("links",)),
        (FULL, config.link_epochs[1], ("links", "video")),
    ):
        yield Phase(
            name=name,
            epochs=epochs,
            batch=config.batch,
            trainable=trained,
            optimiser=links,
            clip_norm=config.clip_norm,
        )
    yield from _encoder_phases(config, recognition=recognition)


def _encoder_phases(config: LSTCLConfig, *, recognition: bool) -> Iterator[Phase]:
    """One, or three of which the second trains on the hold-out; the rate goes on through them."""
    total, start = sum(config.encoder_epochs), 0
    falls = [round(m * total) if m < 1 else int(m) for m in config.milestones]
    for number, epochs in enumerate(config.encoder_epochs):
        passed = sum(fall <= start for fall in falls)
        within = tuple(float(fall - start) for fall in falls if start < fall < start + epochs)
        yield Phase(
            name=ENCODER if number == 0 else f"{ENCODER}_{number + 1}",
            epochs=epochs,
            part="holdout" if number == 1 else "train",
            batch=config.batch,
            labels=recognition,
            trainable=("encoder", "prediction", *(("recognition",) if recognition else ())),
            # as coded the frozen link inference goes on drawing dropout and batch statistics
            eval_mode=("links",) if config.complete else (),
            optimiser=Optimiser(
                lr=config.lr * 0.1**passed,
                momentum=config.sgd_momentum,
                nesterov=True,
                weight_decay=config.weight_decay,
            ),
            schedule=Schedule(name="steps", milestones=within),
            precision=config.precision,
            clip_norm=config.clip_norm,
        )
        start += epochs


def groups_by_decay(module: nn.Module) -> list[dict[str, Any]]:
    """What is trained in `module`, edge masks and normalisations without weight decay."""
    norms = [each for each in module.modules() if isinstance(each, _BatchNorm)]
    spared = {id(parameter) for norm in norms for parameter in norm.parameters()}
    decayed: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            masks = name.endswith("edge_importance") or id(parameter) in spared
            (others if masks else decayed).append(parameter)
    return [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
