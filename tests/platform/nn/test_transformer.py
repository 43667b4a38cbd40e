"""Transformer blocks against torch's own and against sums by hand."""

import math

import pytest
import torch
from torch import nn

from skelray.platform.nn.init import embedding, init_transformer_
from skelray.platform.nn.transformer import Attention, Block, DropPath, Transformer, set_drop_path


def test_attention_equals_torch():
    torch.manual_seed(0)
    ours, theirs = Attention(12, 3), nn.MultiheadAttention(12, 3, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.qkv.weight)
        theirs.in_proj_bias.copy_(ours.qkv.bias.normal_())
        theirs.out_proj.load_state_dict(ours.projection.state_dict())
    x = torch.randn(2, 5, 12)
    torch.testing.assert_close(ours(x), theirs(x, x, x)[0])


def test_heads_that_do_not_share_the_width_are_refused():
    with pytest.raises(ValueError, match="5 heads do not share a width of 12"):
        Attention(12, 5)


def test_a_block_is_attention_and_perceptron_on_normalised_tokens():
    torch.manual_seed(0)
    block = Block(8, 2, mlp_ratio=2.5).double()
    x = torch.randn(3, 4, 8, dtype=torch.float64)
    y = x + block.attention(nn.functional.layer_norm(x, (8,), eps=1e-5))
    hidden = block.mlp[0](nn.functional.layer_norm(y, (8,), eps=1e-5))
    assert hidden.shape[-1] == 20
    exact = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
    torch.testing.assert_close(block(x), y + block.mlp[2](exact))


def test_a_transformer_ends_in_a_norm():
    torch.manual_seed(0)
    whole = Transformer(8, 3, 2)
    x = torch.randn(2, 4, 8)
    y = whole.blocks[2](whole.blocks[1](whole.blocks[0](x)))
    torch.testing.assert_close(whole(x), whole.norm(y))


def test_paths_drop_sample_by_sample_and_keep_the_expectation():
    torch.manual_seed(0)
    drop = DropPath(0.25)
    x = torch.ones(4000, 2, 3)
    dropped = drop(x)
    values = dropped[:, 0, 0]
    assert torch.equal(dropped, values[:, None, None].expand_as(x))
    assert set(values.tolist()) == {0.0, float(torch.tensor(1.0) / 0.75)}
    assert abs(float(values.mean()) - 1) < 0.05
    assert drop.eval()(x) is x and DropPath(0.0)(x) is x


def test_rates_of_paths_rise_with_the_depth():
    blocks = Transformer(8, 8, 2).blocks
    set_drop_path(blocks, 0.3)
    rates = [block.drop_path.rate for block in blocks]
    expected = [0, 0.0429, 0.0857, 0.1286, 0.1714, 0.2143, 0.2571, 0.3]
    assert rates == pytest.approx(expected, abs=1e-4)


def test_initialisation():
    torch.manual_seed(0)
    whole = Transformer(64, 2, 4)
    nn.init.constant_(whole.norm.weight, 3)
    init_transformer_(whole)
    weight = whole.blocks[1].attention.qkv.weight
    limit = math.sqrt(6 / (64 + 192))  # Xavier's, of all three projections together
    assert 0.95 * limit < float(weight.detach().abs().max()) <= limit
    assert not whole.blocks[0].mlp[0].bias.any() and whole.norm.weight.eq(1).all()
    table = embedding(1, 40, 256)
    assert table.requires_grad and table.shape == (1, 40, 256)
    assert float(table.detach().std()) == pytest.approx(0.02, rel=0.05)
