"""Random changes of training images and their masks: on a whole batch at once, where the network computes.

Every image has random numbers of its own, drawn beside its pixels (`engine.data.dataset`), so what happens to it does
not depend on the batch, the loader or the rank that it comes in. Nothing here waits for the device: kornia does, as it
picks the images to change with a boolean index.
"""

from __future__ import annotations

import torch

from engine.contract.augment import AugmentConfig
from engine.data.augment import grey, moves  # noqa: F401 - they register their augmentations, in this order
from engine.data.augment.registry import AUGMENTATIONS, Draws

NUMBERS = sum(augmentation.numbers for augmentation in AUGMENTATIONS)
"""Random numbers that an image needs."""


def augment(
    images: torch.Tensor, masks: torch.Tensor, fractured: torch.Tensor, numbers: torch.Tensor, config: AugmentConfig
) -> tuple[torch.Tensor, torch.Tensor]:
    """The changed images and masks.

    `images`: float (B, 1, S, S), 0…1, as they are afterwards; `masks`: float (B, 1, S, S), 0 or 1; `fractured`: float
    (B,), 0 or 1; `numbers`: float (B, NUMBERS), evenly from 0 to 1 (exclusive). All on one device.
    """
    boost = 1 + (config.positive_boost - 1) * fractured
    first = 0
    for augmentation in AUGMENTATIONS:
        own = numbers[:, first : first + augmentation.numbers]
        first += augmentation.numbers
        if augmentation.is_on(config):
            chosen = (own[:, 0] < getattr(config, augmentation.chance)).view(-1, 1, 1, 1)
            new_images, new_masks = augmentation.change(images, masks, Draws(own[:, 1:], boost), config)
            images = torch.where(chosen, new_images, images)
            masks = masks if new_masks is masks else torch.where(chosen, new_masks, masks)
    return images, masks
