"""A step of every recipe, at its full size, on a CUDA card that is not there: augmentation, forward and loss.

What stays on the CPU, or would make the host wait for the card, raises (see fake_cuda). Backward does not run so.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.contract.load import load_config
from engine.contract.recipes import find_recipes

RECIPES = [
    recipe
    for recipe in find_recipes([Path(__file__).resolve().parents[2] / "configs"])
    if recipe.kind in ("train", "classifier")
]


@pytest.mark.usefixtures("engine_extra")
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_a_step_stays_on_the_card_and_never_waits(recipe) -> None:
    import torch

    from engine.data.augment import NUMBERS
    from engine.data.batches import Batch, on_device
    from engine.models.network import build_network
    from engine.process.device import Device
    from engine.training.losses import training_loss

    from .fake_cuda import fake_cuda, on_fake_cuda

    config = load_config(recipe.path)
    size = config.data.image_size if config.data.patch is None else config.data.patch.size
    mixed = Device(torch.device("cuda"), torch.bfloat16, torch.channels_last)
    with torch.device("meta"):
        network = build_network(config.model, pretrained=False).train()
    with fake_cuda():
        batch = Batch(
            torch.from_numpy(np.zeros((2, 1, size, size), np.uint8)),
            torch.from_numpy(np.zeros((2, 1, size, size), np.bool_)),
            torch.from_numpy(np.ones(2, np.float32)),
            torch.from_numpy(np.zeros(2, np.int64)),
            torch.from_numpy(np.zeros((2, NUMBERS), np.float32)),
        )
        image, mask, fractured = on_device(batch, mixed.device, config.augment)
        with mixed.autocast():
            prediction = on_fake_cuda(network)(image)
        loss = training_loss(prediction, mask, fractured, config.loss, 0.5)
        assert (loss.device.type, loss.dtype, tuple(loss.shape)) == ("cuda", torch.float32, ())
