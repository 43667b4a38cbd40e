"""What a usual research script does, as the thing to compare with: no Ray, nothing of skelray.

SkeletonCLR as its repository runs it (LinguoLi/CrosSCLR: feeder/ntu_feeder.py, feeder/tools.py,
net/st_gcn.py, net/skeletonclr.py), written plainly: augmentation of one sample after the other in
NumPy inside a DataLoader, an einsum for the graph, float32, modules of torch throughout. Shapes: N
samples, C = 3 coordinates, T frames, V joints, M persons.
"""

from __future__ import annotations

import copy
import itertools
import random

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset


class GraphBlock(nn.Module):
    """Graph convolution by einsum, convolution over time, residual."""

    def __init__(self, before: int, after: int, stride: int, dropout: float, residual: bool):
        super().__init__()
        self.conv = nn.Conv2d(before, 3 * after, 1)
        self.temporal = nn.Sequential(
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=True),
            nn.Conv2d(after, after, (9, 1), (stride, 1), (4, 0)),
            nn.BatchNorm2d(after),
            nn.Dropout(dropout, inplace=True),
        )
        self.residual: nn.Module | None = None
        if residual and before == after and stride == 1:
            self.residual = nn.Identity()
        elif residual:
            self.residual = nn.Sequential(
                nn.Conv2d(before, after, 1, (stride, 1)), nn.BatchNorm2d(after)
            )

    def forward(self, x: Tensor, graph: Tensor) -> Tensor:
        """(R, C, T, V) -> (R, C', T', V)."""
        y = self.conv(x)
        y = y.view(len(y), 3, -1, *y.shape[2:])
        y = torch.einsum("nkctv,kvw->nctw", y, graph).contiguous()
        y = self.temporal(y)
        return functional.relu(y if self.residual is None else y + self.residual(x), inplace=True)


class Encoder(nn.Module):
    """Ten blocks and a projection head: (N, C, T, V, M) -> (N, 256), (N, 128)."""

    def __init__(self, graph: Tensor, channels: int = 16, dropout: float = 0.5):
        super().__init__()
        self.register_buffer("graph", graph)
        c = channels
        widths = [3, c, c, c, c, 2 * c, 2 * c, 2 * c, 4 * c, 4 * c, 256]
        self.norm = nn.BatchNorm1d(3 * graph.shape[1])
        self.blocks = nn.ModuleList(
            GraphBlock(*pair, 2 if n in (4, 7) else 1, dropout if n else 0.0, n > 0)
            for n, pair in enumerate(itertools.pairwise(widths))
        )
        self.edges = nn.ParameterList(torch.ones_like(graph) for _ in self.blocks)
        self.head = nn.Sequential(nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 128))

    def features(self, x: Tensor) -> Tensor:
        """The mean over frames, joints and persons."""
        n, c, t, v, m = x.shape
        x = x.permute(0, 4, 3, 1, 2).contiguous().view(n * m, v * c, t)
        x = self.norm(x).view(n, m, v, c, t).permute(0, 1, 3, 4, 2).contiguous()
        x = x.view(n * m, c, t, v)
        for block, edges in zip(self.blocks, self.edges, strict=True):
            x = block(x, self.graph * edges)
        return functional.avg_pool2d(x, x.shape[2:]).view(n, m, -1).mean(dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """Projections of unit length."""
        return functional.normalize(self.head(self.features(x)), dim=1)


class SkeletonCLRScript(nn.Module):
    """Query and key encoder, the queue, and one training step."""

    def __init__(self, graph: Tensor, queue: int, dropout: float = 0.5):
        super().__init__()
        self.query = Encoder(graph, dropout=dropout)
        self.key = copy.deepcopy(self.query).requires_grad_(False)
        self.register_buffer("queue", functional.normalize(torch.randn(128, queue), dim=0))
        self.pointer = 0
        self.optimiser = torch.optim.SGD(
            self.query.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4
        )

    def step(self, first: Tensor, second: Tensor) -> float:
        """Forward, backward, update, queue; returns the loss."""
        query = self.query(first)
        with torch.no_grad():
            for ours, theirs in zip(self.key.parameters(), self.query.parameters(), strict=True):
                ours.data = ours.data * 0.999 + theirs.data * 0.001
            key = self.key(second)
        positive = torch.einsum("nc,nc->n", query, key)[:, None]
        negative = torch.einsum("nc,ck->nk", query, self.queue.clone().detach())
        logits = torch.cat([positive, negative], dim=1) / 0.07
        loss = functional.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long))
        self.queue[:, self.pointer : self.pointer + len(key)] = key.T
        self.pointer = (self.pointer + len(key)) % self.queue.shape[1]
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return loss.item()


class Feeder(Dataset):
    """Two augmented copies of each sample of an array (n, C, T, V, M)."""

    def __init__(self, data: np.ndarray):
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        sample = np.array(self.data[index])
        return augmented(sample), augmented(sample)


def augmented(x: np.ndarray) -> np.ndarray:
    """Temporal crop and shear of one sample."""
    frames = x.shape[1]
    padding = frames // 6
    start = np.random.randint(0, 2 * padding + 1)
    x = np.concatenate([x[:, :padding][:, ::-1], x, x[:, -padding:][:, ::-1]], axis=1)
    x = x[:, start : start + frames]
    a = [random.uniform(-0.5, 0.5) for _ in range(6)]
    matrix = np.array([[1, a[0], a[3]], [a[1], 1, a[4]], [a[2], a[5], 1]])
    sheared = np.dot(x.transpose(1, 2, 3, 0), matrix.T)
    return sheared.transpose(3, 0, 1, 2).astype(np.float32)


def loader(data: np.ndarray, batch: int) -> DataLoader:
    """The feeder behind two worker processes."""
    return DataLoader(Feeder(data), batch, shuffle=True, num_workers=2, drop_last=True)
