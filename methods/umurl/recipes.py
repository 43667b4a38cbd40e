"""How classifiers on UmURL's encoder are trained."""

from __future__ import annotations

from collections.abc import Mapping

from skelray.platform.method import EvalRecipe
from skelray.platform.optim import Optimiser, Schedule

_LINEAR = EvalRecipe(
    optimiser=Optimiser(lr=0.03, momentum=0.9),
    schedule=Schedule(name="steps", milestones=(120, 140)),
    epochs=150,
    batch=512,
    last="keep",
    head_std=0.01,
    source="HuiGuanLab/UmURL, action_recognition.py and its script",
)
# pretraining's optimiser, at a rate for a network that is trained already
_WHOLE = EvalRecipe(
    trainable="all",
    optimiser=Optimiser(name="adam", lr=1e-4, weight_decay=1e-5),
    schedule=Schedule(name="steps", milestones=(0.8,)),
    epochs=50,
    batch=128,
    head_std=0.01,
    source="skelray: UmURL publishes none",
)
_SEMI = "skelray: the paper has semi-supervised figures, but neither settings nor code"

RECIPES: Mapping[str, EvalRecipe] = {
    "linear": _LINEAR,
    "finetune": _WHOLE,
    "scratch": _WHOLE.model_copy(
        update={"optimiser": Optimiser(name="adam", lr=5e-4, weight_decay=1e-5)}
    ),
    "semi": _WHOLE.model_copy(update={"source": _SEMI}),
}
