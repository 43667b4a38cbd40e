"""The queue of past keys that serve as negatives."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class FeatureQueue(nn.Module):
    """A ring of `size` unit vectors; the oldest are overwritten first.

    Everything lives in buffers, so it is saved with the method. Before the first keys come in, the
    rows are random unit vectors, which take part as negatives like all others. Queues that always
    get batches of the same size hold the same sample at the same position.

    Attributes:
        features: (size, dim) float32, unit rows.
        pointer: () int64, position of the next row to be written.
        filled: () int64, number of rows that hold keys.
    """

    features: Tensor
    pointer: Tensor
    filled: Tensor

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        if size < 1 or dim < 1:
            raise ValueError(f"a queue of {size} vectors of width {dim} is empty")
        self.register_buffer("features", functional.normalize(torch.randn(size, dim), dim=1))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))

    @property
    def size(self) -> int:
        """Number of rows."""
        return len(self.features)

    @torch.no_grad()
    def enqueue(self, rows: Tensor) -> None:
        """Writes rows (n, dim) one after the other from `pointer` on, around the end if need be.

        Call it after the backward pass: logits against the queue hold on to `features`.
        """
        assert rows.shape[1:] == self.features.shape[1:], (rows.shape, self.features.shape)
        kept = rows[-self.size :]  # of more rows than the queue holds, the last ones survive
        first = self.pointer + (len(rows) - len(kept))
        positions = (first + torch.arange(len(kept), device=rows.device)) % self.size
        self.features.index_copy_(0, positions, kept.to(self.features.dtype))
        self.pointer.copy_((self.pointer + len(rows)) % self.size)
        self.filled.copy_((self.filled + len(rows)).clamp(max=self.size))
