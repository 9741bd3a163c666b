"""The plain U-Net: levels, widths, and which map goes where."""

from __future__ import annotations

import pytest
import torch

from engine.contract.models import ClassificationHeadConfig, PlainUnetConfig
from engine.models.unet import PlainUnet


@pytest.mark.parametrize("levels", [1, 3, 5])
def test_each_level_halves_the_resolution_and_doubles_the_channels(levels: int) -> None:
    network = PlainUnet(PlainUnetConfig(levels=levels, channels=4))
    maps = network.encoder(torch.rand(2, 1, 64, 64))
    assert [tuple(features.shape[1:]) for features in maps] == [
        (4 << level, 64 >> level, 64 >> level) for level in range(levels + 1)
    ]
    assert network(torch.rand(2, 1, 64, 64)).shape == (2, 1, 64, 64)


def test_the_second_head_reads_the_bottleneck() -> None:
    network = PlainUnet(PlainUnetConfig(channels=4, classification_head=ClassificationHeadConfig(hidden=0))).eval()
    image = torch.rand(2, 1, 32, 32)
    bottleneck = network.encoder(image)[-1]
    _, presence = network(image)
    assert network.classification_head[-1].in_features == 32
    assert torch.equal(presence, network.classification_head(bottleneck))


def test_the_recipes_network_has_two_million_parameters() -> None:
    with torch.device("meta"):
        network = PlainUnet(PlainUnetConfig())
    assert sum(parameter.numel() for parameter in network.parameters()) == 1_926_433
