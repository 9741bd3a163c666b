"""What every network of our own keeps: sizes, gradients everywhere, a state that comes back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.ops import StochasticDepth

from engine.contract.models import ModelConfig, SmpConfig
from engine.models.checkpoint import load_checkpoint, load_network, save_checkpoint
from engine.models.network import XrayNetwork, build_network
from engine.process.device import Device, to_device

from .conftest import CONFIGS

ARCHITECTURES = sorted(CONFIGS)


def without_chance(network: XrayNetwork) -> XrayNetwork:
    """In training mode, with nothing dropped."""
    network.train()
    for module in network.modules():
        if isinstance(module, nn.Dropout | StochasticDepth):
            module.eval()
    return network


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_masks_have_the_size_of_the_image_and_presence_comes_from_the_second_head_alone(arch: str) -> None:
    config = CONFIGS[arch]
    with torch.device("meta"):
        dual = build_network(config)(torch.rand(2, 1, 160, 160))
        plain = build_network(config.model_copy(update={"classification_head": None}))(torch.rand(1, 1, 32, 32))
    assert (dual.mask_logits.shape, dual.presence_logit.shape) == ((2, 1, 160, 160), (2,))
    assert (plain.mask_logits.shape, plain.presence_logit) == ((1, 1, 32, 32), None)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_gradient_reaches_every_parameter(arch: str, networks: dict[str, XrayNetwork]) -> None:
    network = without_chance(networks[arch])
    network.zero_grad()
    prediction = network(torch.rand(2, 1, 64, 64))
    (prediction.mask_logits.square().mean() + prediction.presence_logit.square().mean()).backward()
    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    assert [name for name, gradient in gradients.items() if gradient is None or not gradient.any()] == []
    assert all(gradient.isfinite().all() for gradient in gradients.values())
    network.zero_grad()


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_state_that_was_saved_gives_the_same_answers(
    arch: str, networks: dict[str, XrayNetwork], tmp_path: Path
) -> None:
    network, image = networks[arch].eval(), torch.rand(1, 1, 32, 32)
    save_checkpoint(tmp_path / "best.pt", {"network": network.state_dict()})
    other = build_network(CONFIGS[arch].model_copy(update={"encoder_weights": "not-read"}), pretrained=False)
    load_network(other, load_checkpoint(tmp_path / "best.pt", "network")["network"], tmp_path / "best.pt")
    with torch.no_grad():
        for expected, given in zip(network(image), other.eval()(image), strict=True):
            assert torch.equal(expected, given)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_what_may_be_pretrained_is_called_encoder_and_the_rest_is_not(
    arch: str, networks: dict[str, XrayNetwork]
) -> None:
    network = networks[arch]
    inside = {id(parameter) for parameter in network.segmenter.encoder.parameters()}
    for name, parameter in network.named_parameters():
        assert (".encoder." in name) == (id(parameter) in inside), name
    assert not any(id(p) in inside for p in network.segmenter.classification_head.parameters())


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_channels_last_changes_no_answer(arch: str, networks: dict[str, XrayNetwork]) -> None:
    network, image = networks[arch].eval(), torch.rand(1, 1, 32, 32)
    with torch.no_grad():
        expected = network(image).mask_logits
        to_device(network, Device(torch.device("cpu"), None, torch.channels_last))
        torch.testing.assert_close(network(image).mask_logits, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "config",
    [*CONFIGS.values(), SmpConfig(arch="DeepLabV3")],
    ids=lambda config: config.arch,
)
def test_a_batch_of_one_image_can_be_trained_on(config: ModelConfig, networks: dict[str, XrayNetwork]) -> None:
    network = networks[config.arch] if config.arch in networks else build_network(config)
    prediction = network.train()(torch.rand(1, 1, 32, 32))
    prediction.mask_logits.mean().backward()
    assert prediction.mask_logits.isfinite().all()
