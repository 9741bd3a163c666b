"""Batch norm that a batch of one image does not break."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from engine.contract.models import ModelConfig, SmpConfig, TimmClassifierConfig
from engine.models.blocks import BatchNorm, allow_batches_of_one
from engine.models.network import build_network


def pooling() -> nn.Sequential:
    """An image-level branch with statistics of its own, in training mode."""
    branch = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Sequential(nn.BatchNorm2d(3, eps=1e-3, momentum=0.2)))
    branch[1][0].load_state_dict(
        {
            "weight": torch.tensor([1.0, 2.0, 3.0]),
            "bias": torch.tensor([0.0, 1.0, 2.0]),
            "running_mean": torch.tensor([0.5, 0.0, -1.0]),
            "running_var": torch.tensor([4.0, 1.0, 0.25]),
            "num_batches_tracked": torch.tensor(7),
        }
    )
    return branch.train()


def test_torchs_own_refuses_one_value_a_channel() -> None:
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        pooling()(torch.rand(1, 3, 4, 4))


def test_one_value_is_normalised_by_the_running_statistics_and_leaves_them() -> None:
    branch, evaluated = pooling(), pooling().eval()
    allow_batches_of_one(branch)
    before = {name: tensor.clone() for name, tensor in branch.state_dict().items()}
    image = torch.rand(1, 3, 4, 4)
    assert torch.equal(branch(image), evaluated(image))
    assert all(torch.equal(tensor, before[name]) for name, tensor in branch.state_dict().items())


def test_more_values_are_normalised_as_ever() -> None:
    branch, torchs = pooling(), pooling()
    allow_batches_of_one(branch)
    images = torch.rand(2, 3, 4, 4)
    assert torch.equal(branch(images), torchs(images))
    for name, tensor in torchs.state_dict().items():
        assert torch.equal(branch.state_dict()[name], tensor), name


def test_the_replacement_keeps_names_and_options_and_other_norms_stay() -> None:
    network = nn.ModuleDict({"a": nn.BatchNorm2d(2, affine=False), "b": nn.GroupNorm(1, 2), "c": BatchNorm(2)})
    names, kept = list(network.state_dict()), (network["b"], network["c"])
    allow_batches_of_one(network)
    assert isinstance(network["a"], BatchNorm)
    assert network["a"].weight is None
    assert (network["b"], network["c"]) == kept
    assert list(network.state_dict()) == names


def test_timms_own_keeps_its_dropout_and_activation() -> None:
    layers = pytest.importorskip("timm.layers")
    norm = layers.BatchNormAct2d(3, act_layer=nn.ReLU, drop_layer=lambda: nn.Dropout(1.0)).train()
    names = list(norm.state_dict())
    allow_batches_of_one(norm)
    assert isinstance(norm, layers.BatchNormAct2d)
    assert list(norm.state_dict()) == names
    one = torch.tensor([1.0, -1.0, 2.0]).view(1, 3, 1, 1)
    assert norm(one).abs().sum() == 0, "dropout is still of training"
    assert (norm.training, norm.drop.training) == (True, True)
    norm.drop.eval()
    assert torch.equal(norm(one), norm.eval()(one))
    assert norm(one).min() == 0, "the activation comes behind"
    assert norm.num_batches_tracked == 0


@pytest.mark.parametrize(
    "config",
    [
        SmpConfig(arch="Unet", encoder="tu-tf_efficientnet_lite0"),
        TimmClassifierConfig(encoder="tf_efficientnet_lite0"),
        TimmClassifierConfig(encoder="resnet18"),
    ],
    ids=lambda config: config.encoder,
)
def test_a_network_of_timm_trains_on_one_small_image(config: ModelConfig) -> None:
    pytest.importorskip("segmentation_models_pytorch")
    masks, presence = build_network(config, pretrained=False).train()(torch.rand(1, 1, 32, 32))
    (presence if masks is None else masks).sum().backward()
