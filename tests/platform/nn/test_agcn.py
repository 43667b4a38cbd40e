import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from skelray.platform.nn import agcn
from skelray.platform.nn.agcn import AGCN
from skelray.platform.nn.batch_norm import BatchNorm
from skelray.platform.nn.rows import DistinctRows
from skelray.platform.skeleton.graph import tree_adjacency
from skelray.platform.skeleton.specs import COCO, KINECT_V2


def build(skeleton=KINECT_V2, persons=2, channels=4, **arguments):
    """With weights that are far from those it starts with, so that every part counts."""
    torch.manual_seed(0)
    graph = tree_adjacency(skeleton)
    encoder = AGCN(graph=graph, persons=persons, channels=channels, **arguments)
    for module in encoder.modules():
        if isinstance(module, BatchNorm):
            nn.init.normal_(module.weight, mean=1.0, std=0.1)
            nn.init.normal_(module.bias, std=0.5)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
        elif isinstance(module, agcn.AdaptiveGraphConvolution):
            nn.init.normal_(module.edges, std=0.1)
            nn.init.normal_(module.conv.bias)
            nn.init.normal_(module.embedding.bias)
    return encoder.double()


def plain_block(block, graph, x):
    """A block from its definition: subset by subset, einsum for the joints."""
    part = block.graph
    width = part.embedding.out_channels // 6
    embedded = part.embedding(x).unflatten(1, (6, width))
    convolved = part.conv(x).unflatten(1, (3, -1))
    mixed = 0
    for k in range(3):
        scores = torch.einsum("nctv,nctw->nvw", embedded[:, k], embedded[:, 3 + k])
        attention = (scores / (width * x.shape[2])).softmax(dim=1)
        # the bias comes after the joints are mixed
        bias = part.conv.bias.view(3, -1)[k][:, None, None]
        edges = attention + graph[k] + part.edges[k]
        mixed += torch.einsum("nctv,nvw->nctw", convolved[:, k] - bias, edges) + bias
    y = functional.relu(part.norm(mixed) + part.shortcut(x))
    y = block.norm(block.temporal(y))
    return functional.relu(y if block.residual is None else y + block.residual(x))


def plain(encoder, x):
    """The network as its paper draws it."""
    n, c, t, v, m = x.shape
    rows = torch.empty(n, m * v * c, t, dtype=x.dtype)
    for person in range(m):
        for joint in range(v):
            for coordinate in range(c):
                channel = (person * v + joint) * c + coordinate
                rows[:, channel] = x[:, coordinate, :, joint, person]
    rows = encoder.input_norm(rows)
    persons = []
    for person in range(m):
        y = rows[:, person * v * c : (person + 1) * v * c].view(n, v, c, t).permute(0, 2, 3, 1)
        persons.append(y)
    y = torch.stack(persons, dim=1).flatten(0, 1)
    for block in encoder.blocks:
        y = plain_block(block, encoder.adjacency, y)
    return y.mean((2, 3)).view(n, m, -1).mean(1)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("skeleton", "persons", "in_channels"), [(KINECT_V2, 2, 3), (COCO, 1, 2)])
def test_equals_a_plain_formulation_in_values_and_gradients(
    training, skeleton, persons, in_channels
):
    encoder = build(skeleton, persons, in_channels=in_channels).train(training)
    other = copy.deepcopy(encoder)
    shape = (3, in_channels, 8, skeleton.n_joints, persons)
    x = torch.randn(shape, dtype=torch.float64)
    features = encoder(x)
    assert features.shape == (3, 16) == (3, encoder.feature_dim)
    expected = plain(other, x)
    torch.testing.assert_close(features, expected, rtol=0, atol=1e-10)
    target = torch.randn_like(features)
    (features * target).sum().backward()
    (expected * target).sum().backward()
    for (name, ours), theirs in zip(encoder.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-7, atol=1e-9, msg=name)
    for name, value in encoder.state_dict().items():
        torch.testing.assert_close(value, other.state_dict()[name], msg=name)


@pytest.mark.parametrize("persons", [1, 2, 3])
@pytest.mark.parametrize("training", [True, False])
def test_absent_persons_are_computed_once_with_equal_outcome(training, persons):
    """Against the network that is told of no equal rows."""
    torch.manual_seed(1)
    x = torch.randn(6, 3, 8, 25, persons, dtype=torch.float64)
    x[1:5, ..., 1:] = 0  # of several slots, the last one is merged
    x[3, ..., :] = 0  # nobody at all
    x[2, ..., -1] = 0
    target = torch.randn(6, 16, dtype=torch.float64)
    found = []
    for told in (False, True):
        encoder = build(persons=persons).train(training)
        sizes = []
        encoder.blocks[0].register_forward_hook(lambda _, __, y, sizes=sizes: sizes.append(len(y)))
        with pytest.MonkeyPatch.context() as patch:
            if not told:
                patch.setattr(agcn, "distinct_persons", lambda rows, x: DistinctRows(rows, None))
            features = encoder(x)
        (features * target).sum().backward()
        absent = int((~x[..., -1].flatten(1).any(1)).sum())
        assert sizes == [6 * persons - (absent - 1 if told else 0)]
        gradients = {f"gradient {n}": p.grad for n, p in encoder.named_parameters()}
        found.append({"features": features.detach(), **gradients, **encoder.state_dict()})
    for name, expected in found[0].items():
        scale = expected.abs().max().clamp(min=1.0) if expected.is_floating_point() else 1
        assert (found[1][name] - expected).abs().max() <= 1e-10 * scale, name


def test_every_sample_has_edges_of_its_own():
    layer = build().blocks[4].graph
    x = torch.randn(2, 4, 5, 25, dtype=torch.float64)
    edges = layer.attention(x)
    assert edges.shape == (2, 3, 25, 25)
    torch.testing.assert_close(edges.sum(2), torch.ones(2, 3, 25, dtype=torch.float64))
    assert (edges[0] - edges[1]).abs().max() > 1e-3
    torch.testing.assert_close(layer.attention(x[1:]), edges[1:])


def test_initialisation_as_published():
    torch.manual_seed(0)
    encoder = AGCN(graph=tree_adjacency(KINECT_V2), persons=2)
    graph = encoder.blocks[4].graph  # 64 -> 128 channels, 32 embedded
    for weight, variance in (
        (graph.embedding.weight, 2 / 32),
        (graph.conv.weight, 2 / (128 * 64 * 3)),
        (graph.shortcut[0].weight, 2 / 128),
        (encoder.blocks[4].temporal.weight, 2 / (128 * 9)),
        (encoder.blocks[4].residual[0].weight, 2 / 128),
    ):
        assert weight.std().item() == pytest.approx(math.sqrt(variance), rel=0.05)
    assert (graph.edges == 1e-6).all() and (graph.norm.weight == 1e-6).all()
    assert (encoder.blocks[4].norm.weight == 1).all()
    assert not any(p.any() for n, p in encoder.named_parameters() if n.endswith("bias"))
    assert "adjacency" not in encoder.state_dict()
    assert sum(p.numel() for p in encoder.parameters()) == 3_454_090


def test_half_precision_autocast_stays_near_float32():
    encoder = build(channels=16).float().eval()
    x = torch.randn(2, 3, 16, 25, 2)
    with torch.no_grad():
        whole = encoder(x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = encoder(x)
    assert (half.float() - whole).abs().max() <= 0.05 * whole.abs().max()
