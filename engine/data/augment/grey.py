"""Augmentations that change grey values, 0…1, and leave the mask as it is."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from engine.contract.augment import MOST_GAMMA, AugmentConfig
from engine.data.augment.registry import Draws, changes_grey

BLUR_SIGMA = (0.3, 1.5)
"""Pixels."""
BLUR_RADIUS = 3
CUTOUT_ASPECT = 2.0
"""A cutout is up to so many times as high as wide, or as wide as high."""


@changes_grey("autocontrast")
def stretch_to_full_range(images: torch.Tensor, draws: Draws, config: AugmentConfig) -> torch.Tensor:
    """An image of one grey value stays as it is."""
    darkest, brightest = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    reach = brightest - darkest
    return torch.where(reach > 0, (images - darkest) / reach.clamp(min=1e-6), images)


@changes_grey("intensity_chance", strengths=("brightness", "contrast"), draws=2)
def change_brightness_and_contrast(images: torch.Tensor, draws: Draws, config: AugmentConfig) -> torch.Tensor:
    """Grey values times a factor, then their distance from the image's mean times another."""
    brighter = images * (1 + draws.boosted(0, config.brightness, 1.0))
    mean = brighter.mean((2, 3), keepdim=True)
    return mean + (brighter - mean) * (1 + draws.boosted(1, config.contrast, 1.0))


@changes_grey("gamma_chance", draws=1)
def raise_to_gamma(images: torch.Tensor, draws: Draws, config: AugmentConfig) -> torch.Tensor:
    """Evenly in the logarithm, so that darker and brighter are equally likely in a range such as 0.7…1.45."""
    return images ** draws.log_boosted(0, *config.gamma, MOST_GAMMA)


@changes_grey("blur", draws=1)
def blur_slightly(images: torch.Tensor, draws: Draws, config: AugmentConfig) -> torch.Tensor:
    """Gaussian, a sigma for each image: rows, then columns, each image a channel with a kernel of its own."""
    sigma = draws.between(0, *BLUR_SIGMA)
    offsets = torch.arange(-BLUR_RADIUS, BLUR_RADIUS + 1, device=images.device).view(1, 1, 1, -1)
    kernel = (-0.5 * (offsets / sigma) ** 2).exp()
    kernel = kernel / kernel.sum(3, keepdim=True)
    channels = images.transpose(0, 1)
    padded = functional.pad(channels, (BLUR_RADIUS,) * 4, mode="reflect")
    blurred = functional.conv2d(padded, kernel, groups=len(images))
    return functional.conv2d(blurred, kernel.transpose(2, 3), groups=len(images)).transpose(0, 1)


@changes_grey("noise_chance", strengths=("noise",), draws=2)
def add_noise(images: torch.Tensor, draws: Draws, config: AugmentConfig) -> torch.Tensor:
    """Gaussian, of a sigma up to `noise` and a seed for each image."""
    seeds = (draws.numbers[:, 1] * 2**24).int().view(-1, 1, 1, 1)
    sigma = draws.between(0, 0.0, config.noise)
    return images + sigma * gaussian_noise(seeds, images.shape[2], images.shape[3])


@changes_grey("cutout_chance", draws=4)
def blank_a_rectangle(images: torch.Tensor, draws: Draws, config: AugmentConfig) -> torch.Tensor:
    """Black, wholly inside the image, of a share of its area. The mask stays: what cannot be seen has to be guessed
    from what is around it."""
    area = draws.between(0, *config.cutout)
    aspect = draws.log_between(1, 1 / CUTOUT_ASPECT, CUTOUT_ASPECT)
    aspect = aspect.clamp(min=area).clamp(max=1 / area.clamp(min=1e-6))  # neither side longer than the image
    sides = (area * aspect).sqrt(), (area / aspect).sqrt()
    inside = torch.ones_like(images, dtype=torch.bool)
    for axis, (side, column) in enumerate(zip(sides, (2, 3), strict=True), 2):
        length = images.shape[axis]
        centres = (torch.arange(length, device=images.device) + 0.5) / length
        centres = centres.view([-1 if dimension == axis else 1 for dimension in range(4)])
        start = draws.between(column, 0.0, 1 - side)
        inside = inside & (centres >= start) & (centres < start + side)
    return torch.where(inside, 0.0, images)


def gaussian_noise(seeds: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Standard normal (B, 1, height, width) from int32 seeds (B, 1, 1, 1), the same on every device and in every batch.

    A random generator of the device would give an image another noise in another batch. So this is counted: a hash
    of pixel and seed, to a uniform number, to a normal one.
    """
    pixels = torch.arange(height * width, dtype=torch.int32, device=seeds.device).view(1, 1, height, width)
    bits = _hash(_hash(pixels) ^ seeds)
    uniform = ((bits & 0x7FFFFF) * 2 + 1).float() / 2**23 - 1  # exact, and never -1 or 1
    return uniform.erfinv() * math.sqrt(2)


def _hash(bits: torch.Tensor) -> torch.Tensor:
    """Well-mixed int32 from int32 (the finaliser lowbias32 by C. Wellons; products wrap around)."""
    bits = (bits ^ ((bits >> 16) & 0xFFFF)) * 0x7FEB352D
    bits = (bits ^ ((bits >> 15) & 0x1FFFF)) * (0x846CA68B - 2**32)
    return bits ^ ((bits >> 16) & 0xFFFF)
