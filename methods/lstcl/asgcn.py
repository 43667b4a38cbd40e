"""AS-GCN: graph convolutions over structural and action links, convolutions over time, in blocks.

Source: limaosen0/AS-GCN; AnshulRustogi/Long-Term-Spatio-Temporal-Framework, net/as_gcn.py. Shapes:
R rows (bodies), C channels, T frames, V joints, K structural subsets, A kinds of action links. Rows
lie in memory with the channels innermost (channels_last).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from skelray.platform.nn.batch_norm import BatchNorm
from skelray.platform.nn.dropout import Dropout

ACTION_WEIGHT = 0.5  # of action links beside structural ones
KERNEL = 9  # frames


class LinkConvolution(nn.Module):
    """A 1x1 convolution per structural subset and kind of action link, (R, C, T, V) -> same form.

    The convolution sees joints that are mixed already (both steps are linear). The structural
    graph is one for all rows, those of action links are each row's own.
    """

    def __init__(self, inputs: int, outputs: int, structure: Tensor, kinds: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, (len(structure) + kinds) * outputs, 1)
        self.edge_importance = nn.Parameter(torch.ones_like(structure))

    def forward(self, x: Tensor, structure: Tensor, action: Tensor) -> Tensor:
        """Output for the graphs `structure` (K, V, V) and `action` (R, A, V, V)."""
        rows, channels, frames, joints = x.shape
        shared = structure * self.edge_importance
        own = ACTION_WEIGHT * action
        by_joint = x.permute(0, 2, 3, 1)  # (R, T, V, C)
        targets = shared.permute(2, 0, 1).reshape(-1, joints)  # (V * K, V)
        mixed = torch.bmm(
            targets.expand(rows * frames, -1, -1), by_joint.reshape(-1, joints, channels)
        )
        mixed = mixed.view(rows, frames, joints, -1)  # (R, T, V, K * C)
        kinds = own.shape[1]
        across = by_joint.transpose(1, 2).reshape(rows, joints, -1)  # (R, V, T * C)
        acting = torch.bmm(own.transpose(2, 3).reshape(rows, -1, joints), across)
        acting = acting.view(rows, kinds, joints, frames, channels).permute(0, 3, 2, 1, 4)
        assert self.conv.bias is not None
        weight = self.conv.weight.view(len(shared) + kinds, -1, channels)
        for_shared, for_own = (
            part.transpose(0, 1).flatten(1) for part in weight.split((len(shared), kinds))
        )
        y = functional.linear(mixed, for_shared) + functional.linear(acting.flatten(3), for_own)
        # the bias reaches a joint by as much as its edges carry
        bias = self.conv.bias.view(len(shared) + kinds, -1)
        structural = shared.sum(1).T @ bias[: len(shared)]  # (V, C)
        y = y + (structural + own.sum(2).transpose(1, 2) @ bias[len(shared) :])[:, None]
        return y.permute(0, 3, 1, 2)


class ASGCNBlock(nn.Module):
    """LinkConvolution, BatchNorm, ReLU, convolution over time, BatchNorm, dropout; residual, ReLU.

    Args:
        inputs: channels before.
        outputs: channels after.
        structure: (K, V, V), for the mask's shape.
        kinds: of action links.
        kernel: frames of the convolution over time.
        stride: of that convolution.
        padding: of that convolution, by default half the kernel.
        residual: whether the input is added, projected where its shape differs.
        activate: whether a ReLU ends the block.
        dropout: probability, element by element.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        structure: Tensor,
        kinds: int,
        kernel: int = KERNEL,
        stride: int = 1,
        padding: int | None = None,
        residual: bool = True,
        activate: bool = True,
        dropout: float,
    ) -> None:
        super().__init__()
        self.graph = LinkConvolution(inputs, outputs, structure, kinds)
        self.first_norm, self.second_norm = BatchNorm(outputs), BatchNorm(outputs)
        self.temporal = nn.Conv2d(
            outputs,
            outputs,
            (kernel, 1),
            stride=(stride, 1),
            padding=(kernel // 2 if padding is None else padding, 0),
        )
        self.dropout = Dropout(dropout)
        self.activate = activate
        self.stride = stride
        self.residual: nn.Module | None = None
        if residual and inputs == outputs and stride == 1:
            self.residual = nn.Identity()
        elif residual:
            # the stride is in the frames that are picked: see platform/nn/stgcn.py
            self.residual = nn.Sequential(nn.Conv2d(inputs, outputs, 1), BatchNorm(outputs))

    def forward(self, x: Tensor, structure: Tensor, action: Tensor) -> Tensor:
        """The block's output (R, outputs, T', V)."""
        y = self.first_norm(self.graph(x, structure, action)).relu()
        y = self.dropout(self.second_norm(self.temporal(y)))
        if self.residual is not None:
            y = y + self.residual(x[:, :, :: self.stride])
        return y.relu() if self.activate else y


class ASGCN(nn.Module):
    """Encodes bodies (R, 3, T, V) with their action links: (R, 4 * channels, ceil(T / 4), V)."""

    def __init__(
        self,
        structure: Tensor,
        *,
        kinds: int,
        channels: int,
        dropout: float,
        share_twice: bool,
        coordinates: int = 3,
    ) -> None:
        """`dropout` scales the published rates; with `share_twice` the second block runs twice."""
        super().__init__()
        self.structure: Tensor
        self.register_buffer("structure", structure.clone())
        self.input_norm = BatchNorm(coordinates * structure.shape[1])
        outputs = [channels] * 3 + [2 * channels] * 3 + [4 * channels] * 3
        self.blocks = nn.ModuleList(
            ASGCNBlock(
                before,
                after,
                structure=structure,
                kinds=kinds,
                stride=2 if number in (3, 6) else 1,
                residual=number > 0,
                dropout=0.5 * dropout,
            )
            for number, (before, after) in enumerate(
                zip([coordinates, *outputs[:-1]], outputs, strict=True)
            )
        )
        self.order = (0, 1, 1, *range(2, 9)) if share_twice else tuple(range(9))
        self.between = nn.ModuleDict({"2": Dropout(0.5 * dropout), "5": Dropout(0.25 * dropout)})

    def forward(self, x: Tensor, action: Tensor) -> Tensor:
        """The last block's output for the action graphs (R, A, V, V)."""
        rows, coordinates, frames, joints = x.shape
        x = x.permute(0, 3, 1, 2).reshape(rows, joints * coordinates, frames)  # joint by joint
        x = self.input_norm(x).view(rows, joints, coordinates, frames).permute(0, 2, 3, 1)
        x = x.contiguous(memory_format=torch.channels_last)
        for number in self.order:
            x = self.blocks[number](x, self.structure, action)
            if str(number) in self.between:
                x = self.between[str(number)](x)
        return x
