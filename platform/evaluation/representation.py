"""What features are like, whatever their labels: their rank, their spread, how even it is."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import normalize

_RANK, _SPREAD = 2.0, 0.1  # below either nothing can be told apart
COLLAPSED = f"rankme is below {_RANK:g} or std below {_SPREAD:g}, all are nearly one point"
_PAIRED = 4096  # recordings of which all pairs are looked at


def representation(features: Tensor) -> dict[str, float]:
    """`rankme`, `uniformity` and `std` of features (n, D), n at least 2.

    - `rankme`: the exponential of the entropy of the singular values, from 1 (all on a line) to
      min(n, D) (Garrido et al., "RankMe", ICML 2023, equation 1).
    - `uniformity`: the logarithm of the mean over pairs of exp(-2 d^2), d their distance on the
      unit sphere: 0 where all are one point, near -4 where they are spread evenly (Wang and Isola,
      "Understanding Contrastive Representation Learning", ICML 2020, section 4.1.2).
    - `std`: the mean deviation over the dimensions of the unit features, times the root of D: 0
      where all are one point, about 1 where they fill the sphere (Chen and He, "SimSiam", CVPR
      2021, section 4.1).
    """
    unit = normalize(features.double(), dim=1)
    paired = unit[:_PAIRED]
    distance = torch.pdist(paired).square()
    spread = float(unit.std(dim=0, correction=0).mean()) * math.sqrt(unit.shape[1])
    return {
        "rankme": _effective_rank(features),
        "uniformity": float(torch.logsumexp(-2.0 * distance, 0) - math.log(len(distance))),
        "std": spread,
    }


def collapsed(figures: Mapping[str, float]) -> bool:
    """True where what `representation` found says that features are all nearly one point."""
    return figures["rankme"] < _RANK or figures["std"] < _SPREAD


def _effective_rank(features: Tensor) -> float:
    values = torch.linalg.svdvals(features.double())
    share = values / values.sum().clamp(min=1e-12) + 1e-7
    return float((-(share * share.log()).sum()).exp())
