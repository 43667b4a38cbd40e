"""A stacked GRU with two cells per layer, both of which read the sequence forward.

Source: fmthoker/skeleton-contrast, moco/GRU.py. It holds the weights of a bidirectional GRU, but
feeds it one frame at a time and carries all hidden states on to the next: the "reverse" cell of a
sequence of one frame moves forward as well. Shapes: N sequences, T frames, D numbers a frame.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TwinGRU(nn.Module):
    """Encodes sequences (N, T, in_features): features (N, 2 * hidden) after the last frame.

    Each layer's two cells read the same: what both cells of the layer below have made, side by
    side. As no cell reads backward, a layer runs over the whole sequence before the next begins.

    Args:
        in_features: numbers a frame.
        hidden: width of each cell.
        layers: how many.
    """

    def __init__(self, in_features: int, hidden: int = 1024, layers: int = 3) -> None:
        super().__init__()
        self.feature_dim = 2 * hidden
        widths = [in_features] + [2 * hidden] * (layers - 1)
        self.layers = nn.ModuleList(
            nn.ModuleList(nn.GRU(width, hidden) for _ in range(2)) for width in widths
        )
        for name, parameter in self.named_parameters():
            if "weight" in name:  # the three gates' matrices as one
                nn.init.xavier_uniform_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, 2 * hidden) of sequences of any length."""
        x = x.transpose(0, 1)
        for cells in self.layers:
            assert isinstance(cells, nn.ModuleList)
            x = torch.cat([cell(x)[0] for cell in cells], dim=2)
        return x[-1]
