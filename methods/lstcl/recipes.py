"""How the pretrained encoder is evaluated; its authors publish no such recipe."""

from __future__ import annotations

from collections.abc import Mapping

from skelray.platform.method import EvalRecipe
from skelray.platform.optim import Optimiser, Schedule

_FINETUNE = EvalRecipe(
    trainable="all",
    augment=True,
    optimiser=Optimiser(lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4),
    layer_decay=0.1,  # the encoder's rate is 0.01
    schedule=Schedule(name="steps", milestones=(0.5, 0.75)),
    epochs=80,
    batch=32,
    head_std=None,
    dropout=0.6,
    source="skelray: LSTCL publishes none; rate, decay and dropout of its joint training",
)

RECIPES: Mapping[str, EvalRecipe] = {
    "linear": EvalRecipe(
        augment=True,
        optimiser=Optimiser(lr=3.0, momentum=0.9),
        schedule=Schedule(name="steps", milestones=(0.8,)),
        epochs=100,
        batch=128,
        head_std=0.01,
        source="skelray: LSTCL publishes none; LinguoLi/CrosSCLR, config/linear_eval",
    ),
    "finetune": _FINETUNE,
    "scratch": _FINETUNE.model_copy(update={"layer_decay": 1.0}),
    "semi": _FINETUNE,
}
