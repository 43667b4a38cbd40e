"""How classifiers on SkeletonCLR's and CrosSCLR's encoders are trained."""

from __future__ import annotations

from collections.abc import Mapping

from skelray.platform.method import EvalRecipe
from skelray.platform.optim import Optimiser, Schedule

# of several streams by the mean of their logits
_LINEAR = EvalRecipe(
    combine="mean_logits",
    optimiser=Optimiser(lr=3.0, momentum=0.9),
    schedule=Schedule(name="steps", milestones=(80,)),
    epochs=100,
    batch=128,
    source="LinguoLi/CrosSCLR, config/linear_eval",
)
# the paper reports fine-tuned figures without a recipe; follow-ups take rates of 0.001 to 0.1
_FINETUNE = EvalRecipe(
    trainable="all",
    optimiser=Optimiser(lr=0.1, momentum=0.9, weight_decay=1e-4),
    schedule=Schedule(name="steps", milestones=(0.8,)),
    epochs=100,
    batch=128,
    head_std=None,
    source="skelray: CrosSCLR publishes none",
)

RECIPES: Mapping[str, EvalRecipe] = {
    "linear": _LINEAR,
    "finetune": _FINETUNE,
    "scratch": _FINETUNE,
    # all of the few labels are seen in every epoch
    "semi": _FINETUNE.model_copy(update={"last": "keep"}),
}
