"""Multinomial logistic regression on standardised features, solved to the end by scikit-learn.

Nothing is chosen: unlike `linear_fast`, whose learning rate is chosen on training subjects and so
may fit the training cameras too well, it depends on no selection. Meant for sets of some thousand
recordings.
"""

from __future__ import annotations

import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skelray.platform.evaluation.labelled import ClassifierResult, Labelled, accuracies

PENALTY = 1.0  # scikit-learn's C: its default
ITERATIONS = 2000  # at most; some hundred suffice


def logistic_regression(train: Labelled, test: Labelled, classes: int) -> ClassifierResult:
    """Fits on `train`, measures on `test`; classes that do not train are never predicted."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=PENALTY, max_iter=ITERATIONS)).fit(
        train.features.numpy(), train.label.numpy()
    )
    scores = torch.full((len(test), classes), -torch.inf, dtype=torch.float64)
    probabilities = model.predict_log_proba(test.features.numpy())
    scores[:, torch.from_numpy(model.classes_)] = torch.from_numpy(probabilities).double()
    return ClassifierResult(**accuracies(scores, test.label), scores=scores)
