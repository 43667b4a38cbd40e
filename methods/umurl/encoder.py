"""One encoder for joints, bones and motion, each alone or all fused in front of it.

Source: HuiGuanLab/UmURL, umurl.py. Shapes: N clips, C coordinates, T frames, V joints, M persons, L
tokens, D the width of a token.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from skelray.methods.umurl.config import UmURLConfig
from skelray.platform.method import DataSpec
from skelray.platform.nn.positions import sinusoids
from skelray.platform.skeleton.streams import STREAMS, to_stream

FUSED = "fused"
OUTPUTS = (FUSED, *STREAMS)


def streams_of(output: str) -> tuple[str, ...]:
    """What an output is made of."""
    return STREAMS if output == FUSED else (output,)


def frame_tokens(x: Tensor) -> Tensor:
    """(N, C, T, V, M) to a token per frame, (N, T, M·V·C)."""
    return x.permute(0, 2, 4, 3, 1).flatten(2)


def joint_tokens(x: Tensor) -> Tensor:
    """(N, C, T, V, M) to a token per person's joint, (N, M·V, T·C)."""
    return x.permute(0, 4, 3, 2, 1).flatten(3).flatten(1, 2)


class TokenEncoder(nn.Module):
    """Embeddings of every stream's tokens, their fusion, a transformer, the maximum over tokens."""

    positions: Tensor | None

    def __init__(self, width: int, config: UmURLConfig, positions: Tensor | None = None) -> None:
        """`width` is that of the tokens given; without positions their order does not count."""
        super().__init__()
        dim = config.dim
        self.embeddings = nn.ModuleDict(
            {
                stream: nn.Sequential(
                    nn.Linear(width, dim), nn.LayerNorm(dim), nn.ReLU(), nn.Linear(dim, dim)
                )
                for stream in STREAMS
            }
        )
        self.fusion = nn.Linear(dim, dim, bias=False)
        layer = nn.TransformerEncoderLayer(dim, config.heads, dim, dropout=0.0, batch_first=True)
        self.transformer = nn.TransformerEncoder(layer, config.depth, enable_nested_tensor=False)
        self.register_buffer("positions", positions, persistent=False)

    def forward(self, inputs: Sequence[Mapping[str, Tensor]]) -> Tensor:
        """Tokens (N, L, width) by stream, one of them or all, to (len(inputs) · N, D)."""
        x = torch.cat([self._embedded(tokens) for tokens in inputs])
        if self.positions is not None:
            x = x + self.positions
        encoded: Tensor = self.transformer(x)
        return encoded.amax(dim=1)

    def _embedded(self, tokens: Mapping[str, Tensor]) -> Tensor:
        each = [self.embeddings[stream](x) for stream, x in tokens.items()]
        if len(each) == 1:
            return each[0]
        fused: Tensor = self.fusion(torch.stack(each).mean(dim=0))
        return fused

    def keep(self, output: str) -> None:
        """Removes what this output does not need."""
        for stream in set(self.embeddings) - set(streams_of(output)):
            del self.embeddings[stream]
        if output != FUSED:
            del self.fusion


class Encoder(nn.Module):
    """From joints to features: what frames tell of each other, beside what joints do."""

    def __init__(self, config: UmURLConfig, data: DataSpec) -> None:
        super().__init__()
        self.skeleton = data.skeleton
        frame = data.persons * data.skeleton.n_joints * data.coordinates
        self.temporal = TokenEncoder(frame, config, sinusoids(config.frames, config.dim))
        self.spatial = TokenEncoder(config.frames * data.coordinates, config)

    def forward(self, clips: Sequence[tuple[str, Tensor]]) -> tuple[Tensor, ...]:
        """The features (N, 2 D) of each (output, joints (N, C, T, V, M)), all N equal."""
        streams = [
            {name: to_stream(x, name, self.skeleton) for name in streams_of(output)}
            for output, x in clips
        ]
        temporal = self.temporal([_tokens(frame_tokens, each) for each in streams])
        spatial = self.spatial([_tokens(joint_tokens, each) for each in streams])
        return torch.cat([temporal, spatial], dim=1).chunk(len(clips))

    def copy_for(self, output: str) -> Encoder:
        """A copy with what this output needs alone."""
        copied = copy.deepcopy(self)
        copied.temporal.keep(output)
        copied.spatial.keep(output)
        return copied


def _tokens(cut: Callable[[Tensor], Tensor], streams: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: cut(x) for name, x in streams.items()}
