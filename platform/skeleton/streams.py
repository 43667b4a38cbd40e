"""Streams: the forms of one skeleton sequence that encoders read. All are linear in the joints.

Source: the views of LinguoLi/CrosSCLR, which it computes on the augmented batch.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from skelray.platform.skeleton.spec import SkeletonSpec

STREAMS = ("joint", "bone", "motion")


def to_stream(x: Tensor, stream: str, skeleton: SkeletonSpec) -> Tensor:
    """Turns joint positions (N, C, T, V, M) into a stream of the same shape.

    joint is x itself (not a copy); bone is each joint minus its parent, 0 at the top of the tree;
    motion is the next frame minus this one, 0 in the last frame.

    Raises:
        ValueError: where the stream is unknown or x has another number of joints.
    """
    if x.shape[3] != skeleton.n_joints:
        raise ValueError(
            f"x holds {x.shape[3]} joints, skeleton {skeleton.name} has {skeleton.n_joints}"
        )
    if stream == "joint":
        return x
    if stream == "bone":
        return x - x[:, :, :, list(skeleton.parents)]
    if stream == "motion":
        return functional.pad(x.diff(dim=2), (0, 0, 0, 0, 0, 1))
    raise ValueError(f"unknown stream {stream!r}: choose one of {', '.join(STREAMS)}")
