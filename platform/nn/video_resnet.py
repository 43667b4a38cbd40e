"""A ResNet-18 that sees every frame of a clip through a stem of three dimensions.

Source: zoranadozdor/SVdata2vec, model_svdata2vec/resnet.py (the lip-reading ResNet of
facebookresearch/av_hubert). Shapes: N clips, T frames of H x W pixels, C the stem's width.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class VideoResNet(nn.Module):
    """(N, 3, T, H, W) to features of every frame (N, T, 8 C).

    With `checkpoint_activations` the stem and each stage keep their input alone and are computed
    again in the backward pass: the same loss, gradients and BatchNorm statistics, for about a
    third more time.
    """

    def __init__(self, channels: int = 64, *, checkpoint_activations: bool = False) -> None:
        super().__init__()
        self.checkpoint_activations = checkpoint_activations
        self.feature_dim = 8 * channels
        self.stem = nn.Sequential(
            nn.Conv3d(3, channels, (5, 7, 7), stride=(1, 2, 2), padding=(2, 3, 3), bias=False),
            nn.BatchNorm3d(channels),
            nn.PReLU(channels),
            nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)),
        )
        widths = [channels * 2**stage for stage in range(4)]
        self.stages = nn.ModuleList(
            nn.Sequential(ResidualBlock(before, after, stride), ResidualBlock(after, after))
            for before, after, stride in zip(
                [channels, *widths[:-1]], widths, (1, 2, 2, 2), strict=True
            )
        )
        for module in self.stages.modules():
            if isinstance(module, nn.Conv2d):
                fan_out = math.prod(module.kernel_size) * module.out_channels
                nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))

    def forward(self, video: Tensor) -> Tensor:
        """Features (N, T, 8 C); frames of any height and width."""
        x = self._run(self.stem, video)
        n, _, frames = x.shape[:3]
        x = x.transpose(1, 2).flatten(0, 1)  # every frame by itself: (N T, C, H / 4, W / 4)
        for stage in self.stages:
            x = self._run(stage, x)
        return x.mean(dim=(2, 3)).view(n, frames, self.feature_dim)

    def _run(self, module: nn.Module, x: Tensor) -> Tensor:
        if self.checkpoint_activations and torch.is_grad_enabled():
            return _recomputed(module, x)
        computed: Tensor = module(x)
        return computed


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut; (R, C, H, W) to (R, C', H / stride, W / stride)."""

    def __init__(self, before: int, after: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(after)
        self.activation1 = nn.PReLU(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        self.activation2 = nn.PReLU(after)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or before != after:
            self.shortcut = nn.Sequential(
                nn.Conv2d(before, after, 1, stride=stride, bias=False), nn.BatchNorm2d(after)
            )

    def forward(self, x: Tensor) -> Tensor:
        """The activated sum of both ways."""
        y = self.activation1(self.norm1(self.conv1(x)))
        added: Tensor = self.activation2(self.norm2(self.conv2(y)) + self.shortcut(x))
        return added


@torch.compiler.disable
def _recomputed(module: nn.Module, x: Tensor) -> Tensor:
    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _on_copies_of_buffers(module)

    computed: Tensor = checkpoint(
        module, x, use_reentrant=False, preserve_rng_state=False, context_fn=contexts
    )
    return computed


@contextmanager
def _on_copies_of_buffers(module: nn.Module) -> Iterator[None]:
    """Whatever happens to the module's buffers meanwhile is forgotten: statistics move once."""
    owned = [(each, dict(each._buffers)) for each in module.modules()]
    for each, buffers in owned:
        each._buffers.update({k: t.clone() for k, t in buffers.items() if t is not None})
    try:
        yield
    finally:
        for each, buffers in owned:
            each._buffers.update(buffers)
