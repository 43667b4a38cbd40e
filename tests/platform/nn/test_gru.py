import pytest
import torch
from torch import nn

from skelray.platform.nn.gru import TwinGRU


def build(in_features=6, hidden=5, layers=3):
    torch.manual_seed(0)
    return TwinGRU(in_features, hidden, layers).double()


def slow_cell(cell, u, h):
    """One step of a GRU cell for one sequence, gate by gate."""
    hidden = len(h)
    inner = cell.weight_ih_l0 @ u + cell.bias_ih_l0
    outer = cell.weight_hh_l0 @ h + cell.bias_hh_l0
    gates = [slice(i * hidden, (i + 1) * hidden) for i in range(3)]
    reset = torch.sigmoid(inner[gates[0]] + outer[gates[0]])
    update = torch.sigmoid(inner[gates[1]] + outer[gates[1]])
    new = torch.tanh(inner[gates[2]] + reset * outer[gates[2]])
    return (1 - update) * new + update * h


def bidirectional_of(encoder):
    """Torch's bidirectional GRU with the same weights."""
    hidden = encoder.feature_dim // 2
    inputs = encoder.layers[0][0].input_size
    stock = nn.GRU(inputs, hidden, len(encoder.layers), bidirectional=True, batch_first=True)
    state = {
        f"{name.removesuffix('_l0')}_l{number}{end}": value
        for number, cells in enumerate(encoder.layers)
        for cell, end in zip(cells, ("", "_reverse"), strict=True)
        for name, value in cell.state_dict().items()
    }
    stock.load_state_dict(state)
    return stock.double()


def test_equals_cells_that_step_through_the_frames_together():
    encoder = build()
    x = torch.randn(2, 7, 6, dtype=torch.float64)
    features = encoder(x)
    assert features.shape == (2, 10) == (2, encoder.feature_dim)
    for sequence, feature in zip(x, features, strict=True):
        states = [[torch.zeros(5, dtype=torch.float64)] * 2 for _ in range(3)]
        for frame in sequence:
            u = frame
            for cells, state in zip(encoder.layers, states, strict=True):
                state[:] = [slow_cell(c, u, h) for c, h in zip(cells, state, strict=True)]
                u = torch.cat(state)
        torch.testing.assert_close(feature, u, rtol=0, atol=1e-12)


def test_equals_a_bidirectional_one_fed_frame_by_frame_in_values_and_gradients():
    encoder = build()
    stock = bidirectional_of(encoder)
    x = torch.randn(3, 9, 6, dtype=torch.float64)
    target = torch.randn(3, 10, dtype=torch.float64)
    state = None
    for t in range(9):
        out, state = stock(x[:, t : t + 1], state)
    torch.testing.assert_close(encoder(x), out[:, 0], rtol=0, atol=1e-12)
    (encoder(x) * target).sum().backward()
    (out[:, 0] * target).sum().backward()
    theirs = dict(stock.named_parameters())
    for number, cells in enumerate(encoder.layers):
        for cell, end in zip(cells, ("", "_reverse"), strict=True):
            for name, parameter in cell.named_parameters():
                expected = theirs[f"{name.removesuffix('_l0')}_l{number}{end}"].grad
                torch.testing.assert_close(parameter.grad, expected, rtol=0, atol=1e-12)


def test_is_no_bidirectional_one():
    encoder = build()
    x = torch.randn(3, 9, 6, dtype=torch.float64)
    ordinary = bidirectional_of(encoder)(x)[0][:, -1]
    assert (encoder(x) - ordinary).abs().max() > 1e-2


def test_weights_are_xavier_uniform_of_the_stacked_gates():
    encoder = TwinGRU(150, 1024, 1)
    weight, bias = encoder.layers[0][1].weight_ih_l0, encoder.layers[0][1].bias_ih_l0
    limit = (6 / (150 + 3072)) ** 0.5
    assert weight.abs().max() <= limit and weight.abs().max() > 0.99 * limit
    assert bias.abs().max() <= 1024**-0.5 and bias.any()


def test_published_size():
    assert sum(p.numel() for p in TwinGRU(150).parameters()) == 44_998_656


@pytest.mark.parametrize("frames", [1, 2, 33])
def test_any_length_in_half_precision_too(frames):
    encoder = build().float()
    x = torch.randn(2, frames, 6)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        half = encoder(x)
    torch.testing.assert_close(half.float(), encoder(x).detach(), rtol=0, atol=0.03)
