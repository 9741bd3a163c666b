"""One network of each architecture of our own, built once: initialising 40 million weights takes longer than a test."""

from __future__ import annotations

import pytest
import torch

from engine.contract.models import ClassificationHeadConfig, DeepLabConfig, PlainUnetConfig, Swin3dConfig
from engine.models.network import XrayNetwork, build_network

HEAD = ClassificationHeadConfig(hidden=8)
CONFIGS = {
    "plain_unet": PlainUnetConfig(channels=4, classification_head=HEAD),
    "torchvision_deeplabv3": DeepLabConfig(classification_head=HEAD),
    "swin3d_adapter": Swin3dConfig(volume="dnp_plus", rgb=True, decoder_channels=8, classification_head=HEAD),
}


@pytest.fixture(scope="package")
def networks() -> dict[str, XrayNetwork]:
    """By architecture; set their mode before use, and do not count on their weights or statistics."""
    torch.manual_seed(0)
    return {arch: build_network(config) for arch, config in CONFIGS.items()}
