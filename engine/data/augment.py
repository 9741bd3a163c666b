"""Random changes of a training image and its mask, by torchvision's transforms v2."""

from __future__ import annotations

import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from engine.contract.augment import AugmentConfig


def make_augmentation(config: AugmentConfig) -> v2.Transform | None:
    """The transform of (image float (1, S, S) in 0…1, mask bool (1, S, S)); None where the config changes nothing.

    Geometry moves both alike (bilinear for the image, nearest for the mask); intensities change the image alone.
    """
    steps: list[v2.Transform] = []
    if config.hflip:
        steps.append(v2.RandomHorizontalFlip(config.hflip))
    if config.vflip:
        steps.append(v2.RandomVerticalFlip(config.vflip))
    if config.rotate or config.scale or config.translate:
        steps.append(
            v2.RandomAffine(
                degrees=config.rotate,
                translate=(config.translate, config.translate) if config.translate else None,
                scale=(1 - config.scale, 1 + config.scale) if config.scale else None,
                interpolation=v2.InterpolationMode.BILINEAR,
            )
        )
    if config.brightness or config.contrast:
        steps.append(v2.ColorJitter(brightness=config.brightness, contrast=config.contrast))
    if config.blur:
        steps.append(v2.RandomApply([v2.GaussianBlur(kernel_size=5, sigma=(0.3, 1.5))], p=config.blur))
    if config.noise:
        steps.append(v2.GaussianNoise(sigma=config.noise))
    return v2.Compose(steps) if steps else None


def augment(
    transform: v2.Transform, image: torch.Tensor, mask: torch.Tensor, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Apply the transform with a random state of its own, so that a resumed run draws what it would have drawn."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        changed = transform(tv_tensors.Image(image), tv_tensors.Mask(mask))
    return changed[0].as_subclass(torch.Tensor), changed[1].as_subclass(torch.Tensor)
