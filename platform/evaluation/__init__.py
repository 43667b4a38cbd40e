"""What a checkpoint is worth: features, probes, baselines, pictures, one table of the figures."""

from skelray.platform.evaluation.measure import evaluate
from skelray.platform.evaluation.report import table
from skelray.platform.evaluation.results import Evaluation

__all__ = ["Evaluation", "evaluate", "table"]
