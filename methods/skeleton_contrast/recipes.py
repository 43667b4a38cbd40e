"""How classifiers on Skeleton-Contrast's encoders are trained."""

from __future__ import annotations

from collections.abc import Mapping

from skelray.platform.method import EvalRecipe
from skelray.platform.optim import Optimiser, Schedule

_LINEAR = EvalRecipe(
    augment=True,
    optimiser=Optimiser(lr=0.1, momentum=0.9),
    schedule=Schedule(name="steps", milestones=(50, 70)),
    epochs=80,
    batch=64,
    last="keep",
    head_std=0.01,
    test_every=1,
    source="fmthoker/skeleton-contrast, action_classification.py",
)
# the paper reports semi-supervised figures without a recipe: the optimiser of pretraining
_FINETUNE = EvalRecipe(
    trainable="all",
    augment=True,
    optimiser=Optimiser(lr=0.01, momentum=0.9, weight_decay=1e-4),
    schedule=Schedule(name="steps", milestones=(0.6, 0.85)),
    epochs=80,
    batch=64,
    last="keep",
    head_std=0.01,
    source="skelray: Skeleton-Contrast publishes none",
)

RECIPES: Mapping[str, EvalRecipe] = {
    "linear": _LINEAR,
    "finetune": _FINETUNE,
    "scratch": _FINETUNE,
    "semi": _FINETUNE,
}
