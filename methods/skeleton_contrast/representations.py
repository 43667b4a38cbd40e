"""The forms in which a skeleton is read, and the networks that read them.

Source: fmthoker/skeleton-contrast, moco/GRU.py, moco/AGCN.py, moco/HCN.py. Shapes: N samples, C
coordinates, T frames, V joints, M persons.
"""

from __future__ import annotations

import copy
import math

from torch import Tensor, nn

from skelray.methods.skeleton_contrast.config import Representation, SkeletonContrastConfig
from skelray.platform.method import DataSpec
from skelray.platform.nn.agcn import AGCN
from skelray.platform.nn.gru import TwinGRU
from skelray.platform.nn.hcn import HCN
from skelray.platform.nn.heads import projector
from skelray.platform.nn.moco import MomentumContrast
from skelray.platform.nn.queue import FeatureQueue
from skelray.platform.skeleton.graph import tree_adjacency

Encoder = TwinGRU | AGCN | HCN


def form_of(x: Tensor, representation: str) -> Tensor:
    """What the representation's encoder reads of skeletons (N, C, T, V, M).

    A sequence is (N, T, V C M), a frame's numbers joint by joint, then by coordinate, then by
    person. Graph and image are x itself.
    """
    return x.permute(0, 2, 3, 1, 4).flatten(2) if representation == "sequence" else x


def contrast_of(
    representation: Representation, config: SkeletonContrastConfig, data: DataSpec
) -> MomentumContrast:
    """The representation's encoder with a projector, their copies for keys, an empty queue."""
    encoder = encoder_of(representation, config, data)
    width = encoder.feature_dim
    head = projector(width, width, config.projection_dim)
    last = head[-1]
    assert isinstance(last, nn.Linear)
    if representation == "graph":
        nn.init.normal_(last.weight, std=math.sqrt(2 / config.projection_dim))
    else:
        nn.init.xavier_uniform_(last.weight)
    if representation == "image":
        nn.init.zeros_(last.bias)
    return MomentumContrast(
        (encoder, copy.deepcopy(encoder)),
        (head, copy.deepcopy(head)),
        FeatureQueue(config.queue, config.projection_dim),
    )


def encoder_of(
    representation: Representation, config: SkeletonContrastConfig, data: DataSpec
) -> Encoder:
    """The network that reads the representation, from `form_of` to features."""
    joints, persons, coordinates = data.skeleton.n_joints, data.persons, data.coordinates
    if representation == "sequence":
        numbers = joints * coordinates * persons
        return TwinGRU(numbers, config.gru_hidden, config.gru_layers)
    if representation == "graph":
        return AGCN(
            graph=tree_adjacency(data.skeleton),
            persons=persons,
            in_channels=coordinates,
            channels=config.agcn_channels,
        )
    return HCN(
        joints=joints,
        in_channels=coordinates,
        frames=config.frames,
        channels=config.hcn_channels,
        dropout=config.dropout,
    )
