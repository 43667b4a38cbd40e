"""Whether features fall into groups that are actions, without a label: k-means and its groups."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix
from torch.nn.functional import normalize

from skelray.platform.evaluation.labelled import Labelled

_STARTS = 10  # of k-means, of which the best is taken


def clustering(test: Labelled, seed: int) -> dict[str, float]:
    """`nmi`, `ari` and `accuracy` in percent of as many groups as the test part has classes.

    Unit features are grouped by k-means. `nmi` is normalised by the arithmetic mean, `ari` is
    adjusted for chance (0, and below it may be negative), `accuracy` is that of the assignment of
    groups to classes, one to one, under which it is largest.
    """
    features, label = normalize(test.features, dim=1).numpy(), test.label.numpy()
    groups = len(np.unique(label))
    group = KMeans(groups, n_init=_STARTS, random_state=seed).fit_predict(features)
    table = contingency_matrix(label, group)
    assigned = table[linear_sum_assignment(table, maximize=True)].sum()
    return {
        "nmi": 100.0 * float(normalized_mutual_info_score(label, group)),
        "ari": 100.0 * float(adjusted_rand_score(label, group)),
        "accuracy": 100.0 * float(assigned / len(label)),
    }
