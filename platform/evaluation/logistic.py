"""Multinomial logistic regression on standardised features, solved to the end by scikit-learn.

Nothing is chosen: unlike `linear_fast`, whose learning rate is chosen on training subjects and so
may fit the training cameras too well, it depends on no selection. Meant for sets of some thousand
recordings.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from skelray.platform.evaluation.labelled import Labelled, top_k

PENALTY = 1.0  # scikit-learn's C: its default
ITERATIONS = 2000  # at most; some hundred suffice


@dataclass(frozen=True, kw_only=True)
class LogisticResult:
    """Accuracies on the test part in percent."""

    top1: float
    top5: float
    scores: Tensor  # (n_test, classes)

    def figures(self) -> dict[str, float]:
        """By name."""
        return {"top1": self.top1, "top5": self.top5}


def logistic_regression(train: Labelled, test: Labelled, classes: int) -> LogisticResult:
    """Fits on `train`, measures on `test`; classes that do not train are never predicted."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=PENALTY, max_iter=ITERATIONS)).fit(
        train.features.numpy(), train.label.numpy()
    )
    scores = torch.full((len(test), classes), -torch.inf, dtype=torch.float64)
    probabilities = model.predict_log_proba(test.features.numpy())
    scores[:, torch.from_numpy(model.classes_)] = torch.from_numpy(probabilities).double()
    return LogisticResult(
        top1=top_k(scores, test.label, 1),
        top5=top_k(scores, test.label, 5),
        scores=scores,
    )
