import pytest
import torch
from torch import nn

from skelray.platform.nn.heads import EncoderClassifier, projector
from skelray.platform.nn.init import init_normal_


def test_projector_layers():
    head = projector(256, 256, 128)
    assert [type(layer) for layer in head] == [nn.Linear, nn.ReLU, nn.Linear]
    assert set(head.state_dict()) == {"0.weight", "0.bias", "2.weight", "2.bias"}
    x = torch.randn(3, 256)
    slow = (x @ head[0].weight.T + head[0].bias).clamp(min=0) @ head[2].weight.T + head[2].bias
    torch.testing.assert_close(head(x), slow)
    assert len(projector(4, 2)) == 1
    with pytest.raises(ValueError, match="at least an input and an output width"):
        projector(4)


def test_a_projector_with_batch_norm():
    head = projector(6, 5, 4, 3, norm=True)
    kinds = [nn.Linear, nn.BatchNorm1d, nn.ReLU]
    assert [type(layer) for layer in head] == [*kinds, *kinds, nn.Linear]
    assert [layer.out_features for layer in head if isinstance(layer, nn.Linear)] == [5, 4, 3]
    assert head[1].num_features == 5 and head[4].num_features == 4


def test_init_normal():
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(64, 64, 3), nn.BatchNorm2d(2000), nn.Linear(300, 100), nn.Conv1d(50, 50, 3)
    )
    module.register_parameter("edges", nn.Parameter(torch.ones(3, 3)))
    module.register_buffer("queue", torch.ones(4))
    nn.init.constant_(module[1].running_mean, 7.0)
    init_normal_(module)
    for layer, mean in zip(module, (0.0, 1.0, 0.0, 0.0), strict=True):
        assert layer.weight.mean().item() == pytest.approx(mean, abs=2e-3)
        assert layer.weight.std().item() == pytest.approx(0.02, rel=0.05)
        assert not layer.bias.any()
    assert (module.edges == 1).all() and (module.queue == 1).all()
    assert (module[1].running_mean == 7).all()


def test_init_normal_without_biases():
    init_normal_(nn.Sequential(nn.Linear(2, 2, bias=False), nn.BatchNorm1d(2, affine=False)))


def test_a_classifier_is_a_copy_of_the_encoder_with_a_new_head():
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(3, 500), nn.ReLU())
    classifier = EncoderClassifier(encoder, 500, 40, "joint")
    x = torch.randn(2, 3)
    expected = encoder(x) @ classifier.head.weight.T + classifier.head.bias
    torch.testing.assert_close(classifier({"joint": x, "bone": x + 1}), expected)
    classifier({"joint": x}).sum().backward()
    assert encoder[0].weight.grad is None
