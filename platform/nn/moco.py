"""Momentum contrast: a query encoder, a key encoder that follows it, and the queue of past keys.

Source: He et al., "Momentum Contrast for Unsupervised Visual Representation Learning", CVPR 2020,
with the projectors of MoCo v2. Shapes: N samples, D the width of a projection.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from skelray.platform.nn.modes import fixed_statistics
from skelray.platform.nn.momentum import copy_parameters, freeze, momentum_update
from skelray.platform.nn.queue import FeatureQueue


class MomentumContrast(nn.Module):
    """Query and key encoder with projectors, and the queue; no gradient moves the key's weights."""

    def __init__(
        self,
        encoders: tuple[nn.Module, nn.Module],
        projectors: tuple[nn.Sequential, nn.Sequential],
        queue: FeatureQueue,
    ) -> None:
        """`encoders` and `projectors` are the query's and the key's."""
        super().__init__()
        self.encoder, self.key_encoder = encoders
        self.projector, self.key_projector = projectors
        self.queue = queue
        freeze(self.key_encoder)
        freeze(self.key_projector)

    @property
    def feature_dim(self) -> int:
        """The width of the encoder's features, which the projector reads."""
        first = self.projector[0]
        assert isinstance(first, nn.Linear)
        return first.in_features

    def copy_to_key(self) -> None:
        """The key encoder starts where the query encoder does."""
        copy_parameters(self.encoder, self.key_encoder)
        copy_parameters(self.projector, self.key_projector)

    def move_key(self, momentum: float) -> None:
        """The key encoder follows the query encoder."""
        momentum_update(self.encoder, self.key_encoder, momentum)
        momentum_update(self.projector, self.key_projector, momentum)

    def project(self, query: Tensor, key: Tensor, groups: int = 1) -> tuple[Tensor, Tensor]:
        """Projections (N, D) of the query's and the key's views (N, …), encoded in `groups`."""
        query_z: Tensor = self.projector(encoded_in_groups(self.encoder, query, groups))
        with torch.no_grad():
            key_z: Tensor = self.key_projector(encoded_in_groups(self.key_encoder, key, groups))
        return query_z, key_z


def encoded_in_groups(encoder: nn.Module, x: Tensor, groups: int) -> Tensor:
    """Features of x (N, …), BatchNorm's statistics being those of N / groups samples each.

    The running statistics are the first group's. So does `torch.nn.DataParallel` on as many
    devices. On several ranks a group is a part of each rank's samples.
    """
    if groups == 1:
        whole: Tensor = encoder(x)
        return whole
    first, *others = x.chunk(groups)
    features = [encoder(first)]
    with fixed_statistics(encoder):
        features += [encoder(other) for other in others]
    return torch.cat(features)
