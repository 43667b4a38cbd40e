"""From the tokens that the student saw to the teacher's at every frame; used in pretraining alone.

Source: zoranadozdor/SVdata2vec, model_svdata2vec/transformer.py.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from skelray.platform.nn.init import embedding
from skelray.platform.nn.transformer import Transformer


class Decoder(nn.Module):
    """Fills the gaps with one learned token, adds positions and predicts."""

    def __init__(self, dim: int, frames: int, depth: int, heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.embedding = nn.Linear(dim, dim)
        self.mask_token = embedding(1, 1, dim)
        self.position = embedding(1, frames, dim)
        self.transformer = Transformer(dim, depth, heads, mlp_ratio)
        self.prediction = nn.Linear(dim, dim)

    def forward(self, latent: Tensor, restore: Tensor) -> Tensor:
        """Tokens (N, K, D) of the frames kept, and each frame's place (N, T), to (N, T, D)."""
        n, kept, dim = latent.shape
        gaps = self.mask_token.expand(n, restore.shape[1] - kept, -1)
        x = torch.cat([self.embedding(latent), gaps], dim=1)
        x = x.gather(1, restore[..., None].expand(-1, -1, dim)) + self.position
        predicted: Tensor = self.prediction(self.transformer(x))
        return predicted
