"""One token per frame from pictures, one from skeletons.

Source: zoranadozdor/SVdata2vec, model_svdata2vec/transformer.py. Shapes: N clips, T frames of
H x W pixels, M persons, V joints, D the width of a token.
"""

from __future__ import annotations

from torch import Tensor, nn

from skelray.platform.nn.video_resnet import VideoResNet


class VideoTokens(nn.Module):
    """Every frame's picture: a ResNet behind a stem that sees five frames, and a projection."""

    def __init__(self, dim: int, channels: int, *, checkpoint_activations: bool) -> None:
        super().__init__()
        self.resnet = VideoResNet(channels, checkpoint_activations=checkpoint_activations)
        self.projection = nn.Linear(self.resnet.feature_dim, dim)

    def forward(self, video: Tensor) -> Tensor:
        """(N, 3, T, H, W) to (N, T, D)."""
        tokens: Tensor = self.projection(self.resnet(video))
        return tokens


class SkeletonTokens(nn.Module):
    """Every frame's skeletons, all joints of all persons at once, by one linear map."""

    def __init__(self, dim: int, persons: int, joints: int) -> None:
        super().__init__()
        self.projection = nn.Conv2d(2 * persons, dim, (1, joints), stride=(1, joints))

    def forward(self, joints: Tensor) -> Tensor:
        """(N, M, T, V, 2) in pixels to (N, T, D)."""
        n, persons, frames, count, _ = joints.shape
        channels = joints.permute(0, 1, 4, 2, 3).reshape(n, 2 * persons, frames, count)
        tokens: Tensor = self.projection(channels)  # (N, D, T, 1)
        return tokens.flatten(2).transpose(1, 2)
