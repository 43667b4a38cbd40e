"""From clips to classes: the pretrained tokenisers and transformer with a head.

Source: zoranadozdor/SVdata2vec, model/transformer_sv.py, model/transformer_rgb.py and
util/lr_decay.py. Shapes: N clips, T frames, D the width of a token.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping

from torch import Tensor, nn

from skelray.platform.method import Classifier, EvalRecipe, Views
from skelray.platform.nn.init import init_transformer_
from skelray.platform.nn.transformer import Transformer, set_drop_path

HIDDEN = 2048  # channels of the head that is fine-tuned


def clip_tokens(
    views: Views, output: str, video: nn.Module, skeleton: nn.Module | None, position: Tensor
) -> Tensor:
    """(N, T, D): a frame's picture, or the mean of picture and skeletons, at its position."""
    tokens: Tensor = video(views[f"{output}/video"])
    if output != "rgb":
        assert skeleton is not None
        tokens = (tokens + skeleton(views[f"{output}/joints"])) / 2
    return tokens + position


class ClipClassifier(Classifier):
    """Tokenisers, transformer and head.

    Layers for the decay of the rate, as published: position and skeleton tokeniser are the lowest,
    the transformer's blocks come one by one, all else, the video encoder too, is the top.
    """

    def __init__(
        self, parts: Mapping[str, nn.Module], position: Tensor, head: nn.Module, output: str
    ) -> None:
        """`parts` are `video`, `encoder` and, unless for pictures alone, `skeleton`."""
        super().__init__()
        self.output = output
        self.video, self.encoder = parts["video"], parts["encoder"]
        self.skeleton = parts.get("skeleton")
        self.position = nn.Parameter(position)
        self.head = head
        assert isinstance(self.encoder, Transformer)
        self.layers = len(self.encoder.blocks) + 1

    def forward(self, views: Views) -> Tensor:
        """Logits (N, classes) of the output's views."""
        tokens = clip_tokens(views, self.output, self.video, self.skeleton, self.position)
        logits: Tensor = self.head(self.encoder(tokens))
        return logits

    def layer(self, name: str) -> int:
        """0 for position and skeletons, i + 1 for block i, else the top."""
        if name == "position" or name.startswith("skeleton."):
            return 0
        block = re.match(r"encoder\.blocks\.(\d+)\.", name)
        return int(block[1]) + 1 if block else self.layers


class FineTuneHead(nn.Module):
    """Dropout, mean over the frames, and two linear layers: (N, T, D) to (N, classes)."""

    def __init__(self, dim: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear1 = nn.Linear(dim, HIDDEN)
        self.norm = nn.BatchNorm1d(HIDDEN)
        self.linear2 = nn.Linear(HIDDEN, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits."""
        mean = self.dropout(tokens).mean(dim=1)
        logits: Tensor = self.linear2(self.norm(self.linear1(mean)).relu())
        return logits


class LinearHead(nn.Module):
    """A linear layer on the mean over the frames: (N, T, D) to (N, classes)."""

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits."""
        logits: Tensor = self.linear(tokens.mean(dim=1))
        return logits


def new_classifier(
    parts: Mapping[str, nn.Module],
    position: Tensor,
    classes: int,
    output: str,
    recipe: EvalRecipe,
) -> ClipClassifier:
    """Copies of `parts` and `position` with a new head; with drop path as the recipe says."""
    copied = {name: copy.deepcopy(part) for name, part in parts.items()}
    encoder = copied["encoder"]
    assert isinstance(encoder, Transformer)
    set_drop_path(encoder.blocks, recipe.drop_path)
    dim = position.shape[-1]
    head: nn.Module = LinearHead(dim, classes)
    if recipe.trainable == "all":
        head = FineTuneHead(dim, classes, recipe.dropout)
    init_transformer_(head)
    return ClipClassifier(copied, position.detach().clone(), head, output)
