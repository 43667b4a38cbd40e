"""From sequences to features and classes, on links that are inferred and not trained.

Shapes: N samples, M persons, T frames, V joints.
"""

from __future__ import annotations

import copy
from typing import Self

import torch
from torch import Tensor, nn

from skelray.methods.lstcl.asgcn import ASGCN
from skelray.methods.lstcl.links import LinkEncoder
from skelray.platform.method import Classifier, EvalRecipe, Views
from skelray.platform.nn.dropout import Dropout
from skelray.platform.nn.momentum import freeze
from skelray.platform.nn.rows import DistinctRows, distinct_rows


def encode(links: LinkEncoder, encoder: ASGCN, sequence: Tensor, places: Tensor) -> Tensor:
    """Features (N, D) of sequences (N, 3, T, V, M): means over frames, joints, then persons.

    Links are the most likely ones in the clips of `places` (N, T'). In eval mode all absent
    persons, which count as published, are one row.
    """
    count, frames = len(sequence), sequence.shape[2]
    clip = torch.take_along_dim(sequence, places[:, None, :, None, None], dim=2)
    rows = torch.cat([sequence, clip], dim=2).permute(0, 4, 1, 2, 3).flatten(0, 1)
    distinct = DistinctRows(rows, None) if encoder.training else distinct_rows(rows)
    seen, shown = distinct.rows.split((frames, clip.shape[2]), dim=2)
    with torch.no_grad():
        action = links.graphs(shown.permute(0, 3, 2, 1))
    features = encoder(seen, action).mean((2, 3))
    return distinct.spread(features).unflatten(0, (count, -1)).mean(1)


class LinkedClassifier(Classifier):
    """Copies of link encoder and encoder, dropout and a linear head: views -> logits.

    The links stay in eval mode and are not trained. The encoder is the layer below the head's.
    """

    layers = 1

    def __init__(
        self,
        links: LinkEncoder,
        encoder: ASGCN,
        width: int,
        classes: int,
        output: str,
        recipe: EvalRecipe,
    ) -> None:
        super().__init__()
        self.output = output
        self.links = freeze(copy.deepcopy(links))
        self.encoder = copy.deepcopy(encoder).requires_grad_()
        self.dropout = Dropout(recipe.dropout)
        self.head = nn.Linear(width, classes)

    def train(self, mode: bool = True) -> Self:
        """All but the links."""
        super().train(mode)
        self.links.eval()
        return self

    def forward(self, views: Views) -> Tensor:
        """Logits (N, classes) of the output's views."""
        sequence, places = (views[f"{self.output}/{name}"] for name in ("sequence", "places"))
        features = encode(self.links, self.encoder, sequence, places)
        logits: Tensor = self.head(self.dropout(features))
        return logits

    def layer(self, name: str) -> int:
        """1 for the head, 0 below."""
        return int(name.startswith("head."))
