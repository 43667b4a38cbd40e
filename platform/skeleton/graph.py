"""The graph of a skeleton as adjacency matrices, one per subset of each joint's neighbours.

Source, unless said: LinguoLi/CrosSCLR, net/utils/graph.py (strategies of ST-GCN by Yan et al., AAAI
2018).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from skelray.platform.skeleton.spec import SkeletonSpec

STRATEGIES = ("spatial", "uniform", "distance")
NORMALISATIONS = ("column", "symmetric")


def adjacency(
    skeleton: SkeletonSpec,
    strategy: str = "spatial",
    *,
    max_hop: int = 1,
    normalisation: str = "column",
    truncate: bool = True,
    centre: int | None = None,
) -> Tensor:
    """Adjacency A (K, V, V) float32; A[k, v, w] is the weight with which joint v enters joint w.

    Joints up to `max_hop` edges apart are neighbours, each joint its own. The sum over k is the
    normalised matrix: columns sum to 1 ("column"), or D^-1/2 B D^-1/2 ("symmetric"). Subsets:

    - uniform: one (K = 1).
    - distance: one per number of edges between v and w (K = 1 + max_hop).
    - spatial: the joint itself, then per number of edges a subset of sources v not nearer to
      `centre` than their target w, and one of those nearer to it (K = 1 + 2 max_hop).

    Args:
        skeleton: the joints and their edges.
        strategy: one of STRATEGIES.
        max_hop: largest number of edges between neighbours.
        normalisation: one of NORMALISATIONS.
        truncate: as published, joints further than `max_hop` from the centre count as equally far,
            so that a pair of them always falls into the "not nearer" subset; False compares true
            distances.
        centre: joint from which "spatial" measures; by default the skeleton's centre.

    Raises:
        ValueError: where an argument is unknown, or a centre is needed and missing.
    """
    if max_hop < 1:
        raise ValueError(f"max_hop is {max_hop}, must be at least 1")
    hops = hop_distances(skeleton)
    weights = _normalise((hops <= max_hop).double(), normalisation)
    if strategy == "uniform":
        subsets = [hops <= max_hop]
    elif strategy == "distance":
        subsets = [hops == hop for hop in range(max_hop + 1)]
    elif strategy == "spatial":
        distance = hops[_centre(skeleton, centre)]
        if truncate:
            distance = distance.masked_fill(distance > max_hop, math.inf)
        nearer = distance[:, None] < distance[None, :]  # source v nearer than target w
        subsets = [hops == 0]
        for hop in range(1, max_hop + 1):
            subsets += [(hops == hop) & ~nearer, (hops == hop) & nearer]
    else:
        raise ValueError(f"unknown strategy {strategy!r}: choose one of {', '.join(STRATEGIES)}")
    return torch.stack([weights * subset for subset in subsets]).float()


def tree_adjacency(skeleton: SkeletonSpec) -> Tensor:
    """Adjacency A (3, V, V) float32 along the bones: each joint itself, its parent, its children.

    A[k, v, w] is the weight with which joint v enters joint w; columns sum to 1, or to 0 where a
    joint has no parent or no child. Source: lshiwjx/2s-AGCN, graph/tools.py.
    """
    size = skeleton.n_joints
    inward = torch.zeros(size, size)
    for child, parent in skeleton.bone_pairs:
        if child != parent:
            inward[parent, child] = 1
    outward = inward.T / inward.sum(1).clamp(min=1)
    return torch.stack([torch.eye(size), inward, outward])


def hop_distances(skeleton: SkeletonSpec) -> Tensor:
    """Number of edges on the shortest way between each two joints, (V, V) float64."""
    step = torch.eye(skeleton.n_joints, dtype=torch.float64)
    for v, w in skeleton.edges:
        step[v, w] = step[w, v] = 1
    hops = torch.full_like(step, math.inf)
    reached = torch.eye(skeleton.n_joints, dtype=torch.float64)
    for hop in range(skeleton.n_joints):
        hops[(reached > 0) & hops.isinf()] = hop
        reached = ((reached @ step) > 0).double()
    return hops


def _normalise(neighbours: Tensor, normalisation: str) -> Tensor:
    degree = neighbours.sum(0)
    if normalisation == "column":
        return neighbours / degree
    if normalisation == "symmetric":
        return neighbours / (degree[:, None] * degree[None, :]).sqrt()
    known = ", ".join(NORMALISATIONS)
    raise ValueError(f"unknown normalisation {normalisation!r}: choose one of {known}")


def _centre(skeleton: SkeletonSpec, centre: int | None) -> int:
    chosen = skeleton.centre if centre is None else centre
    if chosen is None:
        raise ValueError(f"skeleton {skeleton.name} has no centre joint: name one for the graph")
    return chosen
