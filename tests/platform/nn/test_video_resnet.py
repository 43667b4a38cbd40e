"""The video ResNet: shapes, counts, and that computing it again changes nothing."""

import copy

import pytest
import torch
from torch import nn

from skelray.platform.nn.batch_norm import synchronise_batch_norm
from skelray.platform.nn.video_resnet import VideoResNet
from tests.toys import on_ranks


def build(**arguments):
    torch.manual_seed(0)
    return VideoResNet(**{"channels": 4, **arguments})


def video(n=2, frames=3, height=20, width=24):
    return torch.randn(n, 3, frames, height, width, generator=torch.Generator().manual_seed(1))


def test_a_feature_for_every_frame_of_any_size():
    network = build().eval()
    assert network(video()).shape == (2, 3, 32)
    assert network(video(1, 7, 33, 16)).shape == (1, 7, 32)


def test_published_counts():
    network = VideoResNet(64)
    count = lambda part: sum(p.numel() for p in part.parameters())  # noqa: E731
    assert (count(network.stem), count(network.stages)) == (47_232, 11_170_816)


def test_frames_are_encoded_by_themselves_behind_the_stem():
    network = build().eval()
    x = video(1, 12)
    changed = x.clone()
    changed[:, :, 6] += 1
    moved = (network(x) != network(changed)).any(dim=2)[0]
    assert moved.nonzero().flatten().tolist() == [4, 5, 6, 7, 8]  # the stem sees five frames


def test_initialisation():
    network = VideoResNet(16)
    weight = network.stages[3][1].conv2.weight  # 128 channels
    assert float(weight.detach().std()) == pytest.approx((2 / (9 * 128)) ** 0.5, rel=0.02)
    activations = [m for m in network.modules() if isinstance(m, nn.PReLU)]
    assert len(activations) == 17 and all(m.weight.eq(0.25).all() for m in activations)


def trained(network, x, steps=2):
    """Loss, gradients and buffers after some steps."""
    network.train()
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(steps):
        optimiser.zero_grad()
        loss = network(x).square().mean()
        loss.backward()
        optimiser.step()
    gradients = {name: p.grad for name, p in network.named_parameters()}
    return {"loss": loss.detach(), **gradients, **network.state_dict()}


@pytest.mark.parametrize("synchronised", [False, True])
def test_checkpointed_activations_change_no_bit(synchronised):
    plain = build()
    checkpointed = copy.deepcopy(plain)
    checkpointed.checkpoint_activations = True
    networks = [plain, checkpointed]
    if synchronised:  # the BatchNorm of several ranks, whose statistics are its own
        networks = [synchronise_batch_norm(network) for network in networks]
    first, second = (trained(network, video()) for network in networks)
    assert int(second["stem.1.num_batches_tracked"]) == 2
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


def test_checkpointed_activations_are_freed():
    kept = {}
    for checkpointed in (False, True):
        network = build(checkpoint_activations=checkpointed)
        sizes = {}

        def pack(tensor, sizes=sizes):
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = network(video(frames=8)).sum()
        kept[checkpointed] = sum(sizes.values())
        loss.backward()
    assert kept[True] < kept[False] / 3


def _checkpointed_on_this_rank():
    from torch.nn.parallel import DistributedDataParallel

    network = synchronise_batch_norm(build())
    checkpointed = copy.deepcopy(network)
    checkpointed.checkpoint_activations = True
    parallel = [
        DistributedDataParallel(n, broadcast_buffers=False) for n in (network, checkpointed)
    ]
    x = video() + torch.distributed.get_rank()
    first, second = (trained(network, x) for network in parallel)
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


def test_checkpointed_activations_on_two_ranks():
    on_ranks(2, _checkpointed_on_this_rank)
