"""Networks and prediction on a CUDA card that is not there: nothing stays on the CPU, nothing waits.

A small network of each architecture; the recipes' networks take a training step in test_steps_on_cuda, and predict here
in `make test-long`.
"""

from __future__ import annotations

import os

import pytest
import torch

from engine.contract.load import load_config
from engine.contract.models import ClassificationHeadConfig, ModelConfig, SmpConfig, TimmClassifierConfig
from engine.contract.recipes import find_recipes, recipe_folders
from engine.evaluation.predict import VIEWS, mean_over_views
from engine.models.network import XrayNetwork, build_network
from engine.process.device import Device

from ..fake_cuda import fake_cuda, on_fake_cuda
from .conftest import CONFIGS

LONG = bool(os.environ.get("XRAY_TUI_LONG"))
MIXED = Device(torch.device("cuda"), torch.bfloat16, torch.channels_last)
SIZE = 64
SMALL: dict[str, ModelConfig] = CONFIGS | {
    "Unet": SmpConfig(
        encoder="tu-test_resnet",
        decoder_channels=(32, 16, 8, 8),
        classification_head=ClassificationHeadConfig(hidden=8),
    ),
    "DeepLabV3Plus": SmpConfig(arch="DeepLabV3Plus", in_channels=1),
    "timm_classifier": TimmClassifierConfig(encoder="test_resnet"),
}


def networks_of_recipes() -> dict[str, tuple[ModelConfig, int]]:
    """Each network that a recipe trains, and the side of its images, under the name of the first such recipe."""
    found: dict[str, tuple[ModelConfig, int]] = {}
    for recipe in find_recipes(recipe_folders()):
        if recipe.kind in ("train", "classifier"):
            config = load_config(recipe.path)
            if all(config.model != model for model, _ in found.values()):
                found[recipe.name] = (config.model, config.data.image_size)
    return found


NETWORKS = {name: (config, SIZE) for name, config in SMALL.items()} | (networks_of_recipes() if LONG else {})


def built(config: ModelConfig) -> XrayNetwork:
    with torch.device("meta"):
        return build_network(config, pretrained=False)


@pytest.mark.parametrize("name", sorted(SMALL))
def test_a_forward_of_training_stays_on_the_card_and_never_waits(name: str) -> None:
    network = built(SMALL[name]).train()
    with fake_cuda():
        with MIXED.autocast():
            masks, presence = on_fake_cuda(network)(torch.rand(2, 1, SIZE, SIZE, device="cuda"))
        assert masks is None or (masks.is_cuda and masks.shape == (2, 1, SIZE, SIZE))
        assert presence is None or (presence.is_cuda and presence.shape == (2,))
        assert (masks, presence) != (None, None)


EVERY_NETWORK_HV = [(name, "hv") for name in sorted(NETWORKS)]
OTHER_VIEWS = [("plain_unet", tta) for tta in sorted(VIEWS.keys() - {"hv"})]


@pytest.mark.long
@pytest.mark.parametrize(("name", "tta"), EVERY_NETWORK_HV + OTHER_VIEWS)
def test_prediction_over_all_views_stays_on_the_card_and_never_waits(name: str, tta: str) -> None:
    config, size = NETWORKS[name]
    network = built(config).eval()
    with fake_cuda():
        batch = torch.rand(4, 1, size, size, device="cuda")
        maps, presence = mean_over_views(on_fake_cuda(network), batch, MIXED, tta)
        is_classifier = isinstance(config, TimmClassifierConfig)
        assert (maps is None) == is_classifier
        assert (presence is None) == (not is_classifier and config.classification_head is None)
        for told, shape in ((maps, (4, 1, size, size)), (presence, (4,))):
            assert told is None or (told.device.type, told.dtype, tuple(told.shape)) == ("cuda", torch.float32, shape)
