"""The method contract: everything a plugin under `methods/` imports to be one."""

from skelray.platform.method.batch import Batch, Ragged
from skelray.platform.method.contract import (
    Classifier,
    ClipSpec,
    DataSpec,
    EvalRecipe,
    Inputs,
    Method,
    MethodConfig,
    Phase,
    Progress,
    PublishedState,
    Step,
    Views,
    matches,
)
from skelray.platform.method.draws import Draws, key_of

__all__ = [
    "Batch",
    "Classifier",
    "ClipSpec",
    "DataSpec",
    "Draws",
    "EvalRecipe",
    "Inputs",
    "Method",
    "MethodConfig",
    "Phase",
    "Progress",
    "PublishedState",
    "Ragged",
    "Step",
    "Views",
    "key_of",
    "matches",
]
