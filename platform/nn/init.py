"""Weight initialisation."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def init_normal_(module: nn.Module) -> None:
    """Draws all weights below `module` anew, from torch's global generator, in module order.

    Conv1d, Conv2d and Linear: weights N(0, 0.02²), biases 0; BatchNorm: weights N(1, 0.02²), biases
    0. Everything else stays. Source: the pretraining of LinguoLi/CrosSCLR, before its first step.
    """
    for part in module.modules():
        if isinstance(part, (nn.Conv1d, nn.Conv2d, nn.Linear)):
            nn.init.normal_(part.weight, mean=0.0, std=0.02)
        elif isinstance(part, _BatchNorm) and part.affine:
            nn.init.normal_(part.weight, mean=1.0, std=0.02)
        else:
            continue
        if part.bias is not None:
            nn.init.zeros_(part.bias)


def init_transformer_(module: nn.Module) -> None:
    """Draws what transformers start from, from torch's global generator, in module order.

    Linear: Xavier-uniform weights, biases 0; LayerNorm: 1 and 0. Everything else stays. Source: the
    masked autoencoders of facebookresearch/mae, maoyunyao/MAMP and zoranadozdor/SVdata2vec.
    """
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.LayerNorm) and part.elementwise_affine:
            nn.init.ones_(part.weight)
            nn.init.zeros_(part.bias)


def embedding(*shape: int) -> nn.Parameter:
    """A learned table, such as positions: normal of deviation 0.02, cut at -2 and 2."""
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(shape), std=0.02))
