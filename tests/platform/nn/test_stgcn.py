import copy
import math

import pytest
import torch
from torch import nn

from skelray.platform.nn import stgcn
from skelray.platform.nn.batch_norm import BatchNorm
from skelray.platform.nn.rows import DistinctRows
from skelray.platform.nn.stgcn import STGCN, published_key
from skelray.platform.skeleton.graph import adjacency
from skelray.platform.skeleton.specs import COCO, KINECT_V2


def build(**arguments):
    torch.manual_seed(0)
    return STGCN(graph=adjacency(KINECT_V2), **arguments)


@pytest.fixture
def published(golden):
    """The published network's reference, our encoder with its weights, and its classifier."""
    reference = golden("crossclr_encoder_c16")
    state = reference.state()
    classifier = nn.Linear(256, 60)
    classifier.load_state_dict({k: state.pop(f"fc.{k}") for k in ("weight", "bias")})
    encoder = build()
    ours = {published_key(key): value for key, value in state.items()}
    assert encoder.load_state_dict(ours, strict=True)
    return reference, encoder, classifier


def close(actual, expected, tolerance=1e-5):
    """Within `tolerance` of the largest expected value."""
    expected = expected.to(actual.dtype)
    assert actual.shape == expected.shape
    assert (actual - expected).abs().max() <= tolerance * expected.abs().max()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_published_outputs_block_by_block(published, dtype):
    reference, encoder, classifier = published
    encoder.to(dtype).eval()
    blocks = {}
    for i, block in enumerate(encoder.blocks):
        block.register_forward_hook(lambda _, __, y, i=i: blocks.update({i: y}))
    inputs, outputs = (reference.cases["eval"][k] for k in ("inputs", "outputs"))
    with torch.no_grad():
        feature = encoder(inputs["x"].to(dtype))
        close(feature, outputs["feature"])
        close(classifier.to(dtype)(feature), outputs["logits"])
    for i in range(10):
        close(blocks[i].mean(3), outputs[f"block{i}_mean_over_v"])
    close(blocks[9].mean((2, 3)).view(2, 2, 256), outputs["person_feature"])


def test_published_outputs_for_longer_clips(published):
    reference, encoder, classifier = published
    case = reference.cases["eval_T64"]
    with torch.no_grad():
        feature = encoder.eval()(case["inputs"]["x"])
        close(feature, case["outputs"]["feature"])
        close(classifier(feature), case["outputs"]["logits"])


def test_published_training_step(published):
    """Batch statistics of eight rows amplify rounding, so this runs in float64."""
    reference, encoder, classifier = published
    for module in encoder.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    network = nn.ModuleDict({"encoder": encoder, "fc": classifier}).double().train()
    case = reference.cases["train_dropout0"]
    logits = classifier(encoder(case["inputs"]["x"].double()))
    loss = nn.functional.cross_entropy(logits, case["inputs"]["labels"])
    loss.backward()
    close(logits, case["outputs"]["logits"])
    close(loss, case["outputs"]["loss"])
    parameters, buffers = dict(network.named_parameters()), dict(network.named_buffers())
    seen = 0
    for name, expected in case["outputs"].items():
        kind, _, key = name.partition(":")
        ours = key if key.startswith("fc.") else f"encoder.{published_key(key)}" if key else ""
        if kind == "grad":
            # The reference ran in float32, convolution before graph: in that order rounding
            # moves the gradient of the last block's bias by 1.0e-5 (in ours by 1.1e-6).
            close(parameters[ours].grad, expected, 2e-5)
        elif kind == "after" and expected.is_floating_point():
            close(buffers[ours], expected)
        elif kind == "after":
            assert torch.equal(buffers[ours], expected)
        seen += bool(key)
    assert seen == len(case["outputs"]) - 2


def test_published_keys_are_all_mapped_and_others_refused(golden):
    reference = golden("crossclr_encoder_c16")
    ours = {published_key(k) for k in reference.state() if not k.startswith("fc.")}
    assert ours == set(build().state_dict()) and len(ours) == 177
    with pytest.raises(KeyError, match=r"fc\.weight"):
        published_key("fc.weight")


@pytest.mark.parametrize(("channels", "parameters"), [(16, 821_380), (64, 3_083_412)])
def test_number_of_parameters(channels, parameters):
    assert sum(p.numel() for p in build(channels=channels).parameters()) == parameters


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_graph_convolution_equals_its_definition(dtype):
    torch.manual_seed(0)
    graph = adjacency(COCO, centre=0).to(dtype)
    layer = STGCN(graph=graph, in_channels=2).to(dtype).blocks[4].graph  # 16 -> 32 channels
    nn.init.normal_(layer.edge_importance)
    x = torch.randn(2, 16, 5, 17, dtype=dtype)
    y = layer.conv(x).view(2, 3, 32, 5, 17)  # a 1x1 convolution into the three subsets
    slow = torch.zeros(2, 32, 5, 17, dtype=dtype)
    for k in range(3):
        for v in range(17):
            for w in range(17):
                edge = graph[k, v, w] * layer.edge_importance[k, v, w]
                slow[:, :, :, w] += y[:, k, :, :, v] * edge
    torch.testing.assert_close(layer(x, graph), slow, rtol=1e-5, atol=1e-5)


def test_an_absent_person_counts_half():
    encoder = build(dropout=0.0).eval()
    for module in encoder.modules():
        if isinstance(module, BatchNorm):
            nn.init.normal_(module.bias)  # else zeros stay zeros
    x = torch.randn(2, 3, 50, 25, 2)
    x[..., 1] = 0
    with torch.no_grad():
        alone, nobody = encoder(x[..., :1]), encoder(x[..., 1:])
        assert nobody.abs().max() > 0
        torch.testing.assert_close(encoder(x), (alone + nobody) / 2, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("frames", [1, 13, 50])
def test_any_length_width_and_skeleton(frames):
    torch.manual_seed(0)
    encoder = STGCN(graph=adjacency(COCO, centre=0), in_channels=2, channels=8, feature_dim=24)
    last = []
    encoder.blocks[9].register_forward_hook(lambda _, __, y: last.append(y.shape))
    assert encoder(torch.randn(2, 2, frames, 17, 3)).shape == (2, 24)
    assert last == [(6, 24, math.ceil(frames / 4), 17)]


def test_dropout_spares_the_first_block_and_gradients_reach_every_parameter():
    encoder = build()
    rates = [m.p for m in encoder.modules() if isinstance(m, nn.Dropout)]
    assert rates == [0.0] + [0.5] * 9
    encoder(torch.randn(4, 3, 20, 25, 2)).square().sum().backward()
    missing = [name for name, p in encoder.named_parameters() if p.grad is None]
    assert not missing


def test_half_precision_autocast_stays_near_float32():
    encoder = build().eval()
    half, x = copy.deepcopy(encoder), torch.randn(2, 3, 20, 25, 2)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        feature = half(x)
    with torch.no_grad():
        close(feature.float(), encoder(x), 0.05)


@pytest.mark.parametrize("training", [True, False])
def test_absent_persons_are_computed_once_with_equal_outcome(training):
    """Against the network that is told of no equal rows, in float64."""
    torch.manual_seed(0)
    x = torch.randn(6, 3, 20, 25, 2, dtype=torch.float64)
    x[1:5, ..., 1] = 0
    target = torch.randn(6, 256, dtype=torch.float64)
    found = []
    for told in (False, True):
        encoder = build(dropout=0.0).double().train(training)
        sizes = []
        encoder.blocks[0].register_forward_hook(lambda _, __, y, sizes=sizes: sizes.append(len(y)))
        with pytest.MonkeyPatch.context() as patch:
            if not told:
                patch.setattr(stgcn, "distinct_rows", lambda rows: DistinctRows(rows, None))
            features = encoder(x)
        (features * target).sum().backward()
        assert sizes == [9 if told else 12]
        gradients = {f"gradient {n}": p.grad for n, p in encoder.named_parameters()}
        found.append({"features": features.detach(), **gradients, **encoder.state_dict()})
    for name, expected in found[0].items():
        scale = expected.abs().max().clamp(min=1.0) if expected.is_floating_point() else 1
        assert (found[1][name] - expected).abs().max() <= 1e-10 * scale, name


def test_dropout_tells_absent_persons_apart():
    encoder = build(dropout=0.5).train()
    sizes = []
    encoder.blocks[0].register_forward_hook(lambda _, __, y: sizes.append(len(y)))
    encoder(torch.zeros(3, 3, 20, 25, 2))
    encoder.eval()(torch.zeros(3, 3, 20, 25, 2))
    encoder.blocks[3].temporal.train()  # Monte Carlo dropout
    encoder(torch.zeros(3, 3, 20, 25, 2))
    assert sizes == [6, 1, 6]


@pytest.mark.parametrize("strict", [True, False])
def test_it_exports_for_any_number_of_samples(strict):
    encoder = build(channels=4, feature_dim=16).eval()
    x = torch.randn(4, 3, 20, 25, 2)
    x[1:, ..., 1] = 0
    samples = torch.export.Dim("samples", min=2, max=64)
    exported = torch.export.export(encoder, (x,), dynamic_shapes=({0: samples},), strict=strict)
    more = torch.cat([x, x + 1])
    with torch.no_grad():
        torch.testing.assert_close(exported.module()(more), encoder(more), rtol=1e-4, atol=1e-5)
