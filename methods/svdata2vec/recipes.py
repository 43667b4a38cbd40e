"""How the pretrained network is evaluated.

Source: script_finetune.sh and script_finetune_scratch.sh of zoranadozdor/SVdata2vec; a linear probe
is not published for this method.
"""

from __future__ import annotations

from skelray.platform.method import EvalRecipe
from skelray.platform.optim import Optimiser, Schedule

_FINETUNE = EvalRecipe(
    trainable="all",
    augment=True,
    optimiser=Optimiser(name="adamw", lr=3e-4, weight_decay=0.05, decay_vectors=False),
    layer_decay=0.8,
    schedule=Schedule(name="cosine", per="step", warmup_epochs=5, final=1e-5 / 3e-4),
    epochs=100,
    batch=64,
    smoothing=0.1,
    drop_path=0.3,
    dropout=0.3,
    head_std=None,
    test_every=1,
    source="zoranadozdor/SVdata2vec, script_finetune.sh",
)

RECIPES = {
    "linear": EvalRecipe(
        normalise=True,
        optimiser=Optimiser(lr=0.1, momentum=0.9),
        schedule=Schedule(name="cosine", per="step"),
        epochs=100,
        batch=256,
        head_std=0.01,
        source="maoyunyao/MAMP, script_linprobe.sh, from which this method descends; without its "
        "augmentation",
    ),
    "finetune": _FINETUNE,
    "semi": _FINETUNE.model_copy(
        update={"last": "keep", "source": "skelray: none is published; that of fine-tuning"}
    ),
    "scratch": _FINETUNE.model_copy(
        update={
            "layer_decay": 1.0,
            "source": "zoranadozdor/SVdata2vec, script_finetune_scratch.sh",
        }
    ),
}
