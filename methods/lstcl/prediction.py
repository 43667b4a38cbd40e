"""The prediction head: the whole sequence in one step, joined with the last pose, to future poses.

Source: AnshulRustogi/Long-Term-Spatio-Temporal-Framework, net/as_gcn.py. Shapes: R rows (bodies), C
channels, T frames of the encoder's output, V joints, F frames predicted.
"""

from __future__ import annotations

import copy
import math
from functools import partial

import torch
from torch import Tensor, nn

from skelray.methods.lstcl.asgcn import ASGCNBlock
from skelray.platform.nn.dropout import Dropout
from skelray.platform.nn.momentum import copy_parameters, freeze, momentum_update


class PredictionHead(nn.Module):
    """Blocks that halve the time four times and a last one over all that is left; two ends.

    `query` turns code and last pose into offsets of the predicted poses, `key` is its momentum copy
    with BatchNorm statistics of its own.
    """

    def __init__(
        self,
        structure: Tensor,
        *,
        kinds: int,
        channels: int,
        frames: int,
        future: int,
        dropout: float,
        offset_dropout: float,
        coordinates: int = 3,
    ) -> None:
        """For `frames` that the encoder saw, and an encoder of `channels` in its first blocks."""
        super().__init__()
        width, block = 2 * channels, partial(ASGCNBlock, structure=structure, kinds=kinds)
        left = math.ceil(frames / 64)
        self.layers = nn.ModuleList(
            [
                block(4 * channels, width, dropout=0.5 * dropout),
                *(
                    block(width, width, stride=2, kernel=k, dropout=0.5 * dropout)
                    for k in (9, 9, 9, 3)
                ),
                block(
                    width,
                    width,
                    kernel=left,
                    padding=0,
                    residual=False,
                    dropout=0.5 * dropout,
                ),
            ]
        )
        self.dropout = Dropout(0.75 * dropout)
        self.query = block(
            width + coordinates,
            coordinates * future,
            kernel=1,
            residual=False,
            activate=False,
            dropout=offset_dropout * dropout,
        )
        self.key = freeze(copy.deepcopy(self.query))

    def code(self, features: Tensor, structure: Tensor, action: Tensor) -> Tensor:
        """The encoder's output (R, 4 * channels, T, V) in one step: (R, 2 * channels, 1, V)."""
        for layer in self.layers:
            features = layer(features, structure, action)
        return features

    def offsets(
        self, end: nn.Module, code: Tensor, last: Tensor, structure: Tensor, action: Tensor
    ) -> Tensor:
        """Offsets (R, 3, F, V) of `query` or `key` from the last pose (R, 3, V)."""
        x = torch.cat([self.dropout(code), last[:, :, None].to(code.dtype)], dim=1)
        offsets = end(x, structure, action)
        return offsets.reshape(len(offsets), last.shape[1], -1, offsets.shape[-1])

    def move_key(self, momentum: float) -> None:
        """The key follows the query; its edges are weighted as the query's, as published."""
        momentum_update(self.query, self.key, momentum)
        copy_parameters(_edges(self.query), _edges(self.key))

    def copy_to_key(self) -> None:
        """The key starts where the query does."""
        copy_parameters(self.query, self.key)


def _edges(block: nn.Module) -> nn.Module:
    graph = block.get_submodule("graph")
    return nn.ParameterList([graph.get_parameter("edge_importance")])


def poses(offsets: Tensor, last: Tensor, layout: str) -> Tensor:
    """Predicted poses (R, 3, F, V) from offsets (R, 3, F, V) and the last pose (R, 3, V).

    As coded, `interleaved`, the offset of coordinate c in frame t starts from the last pose's
    coordinate (F * c + t) mod 3.
    """
    if layout == "per_coordinate":
        return offsets + last[:, :, None]
    return offsets + last.repeat(1, offsets.shape[2], 1).view(offsets.shape)


def scale_offsets_(head: PredictionHead, scale: float) -> None:
    """The offsets' deviation from sample to sample begins at about `scale`, in the input's unit."""
    for end in (head.query, head.key):
        with torch.no_grad():
            end.second_norm.weight.mul_(scale)


def init_ends_(head: PredictionHead) -> None:
    """Draws the convolutions of both ends as torch does transposed ones, alike for both."""
    for module in head.query.modules():
        if isinstance(module, nn.Conv2d):
            bound = module.out_channels**-0.5
            nn.init.uniform_(module.weight, -bound, bound)
            assert module.bias is not None
            nn.init.uniform_(module.bias, -bound, bound)
    for ours, theirs in zip(head.query.modules(), head.key.modules(), strict=True):
        if isinstance(ours, nn.Conv2d):
            copy_parameters(ours, theirs)
