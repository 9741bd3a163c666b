"""Random changes of training images and their masks, on a whole batch at once, on the network's device.

A new augmentation is a key or two in AugmentConfig and one function here with a decorator. They are applied in the
order of this file. Every image has its own random numbers, drawn when the image is loaded (engine/data/batches.py), so
the result does not depend on the batch, the loader or the rank. No augmentation waits for the device.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from engine.contract.augment import MOST_GAMMA, AugmentConfig

BLUR_SIGMA = (0.3, 1.5)
"""Pixels."""
BLUR_RADIUS = 3
CUTOUT_ASPECT = 2.0
"""Largest ratio of height to width of a cutout, and of width to height."""


@dataclass(frozen=True, slots=True)
class Draws:
    """The random numbers of one augmentation for the images of a batch."""

    numbers: Tensor
    """(B, numbers), uniform from 0 to 1."""
    boost: Tensor
    """(B,): factor for the strengths of intensity and gamma."""

    def between(self, column: int, low: float | Tensor, high: float | Tensor) -> Tensor:
        """(B, 1, 1, 1): a number between the two for each image."""
        return low + (high - low) * self.numbers[:, column].view(-1, 1, 1, 1)

    def boosted(self, column: int, strength: float, most: float) -> Tensor:
        """(B, 1, 1, 1): between -strength and strength, times the boost, limited to `most`."""
        reach = (self.boost * strength).clamp(max=most).view(-1, 1, 1, 1)
        return self.between(column, -reach, reach)

    def log_boosted(self, column: int, low: float, high: float, most: float) -> Tensor:
        """(B, 1, 1, 1): between low and high, uniform in the logarithm, which is multiplied by the boost. The boost is
        limited so that both ends stay between 1 / most and most."""
        reach = max(abs(math.log(low)), abs(math.log(high)))
        times = self.boost.clamp(max=math.log(most) / reach) if reach else self.boost
        return (times.view(-1, 1, 1, 1) * self.between(column, math.log(low), math.log(high))).exp()


Pair = tuple[Tensor, Tensor]
Change = Callable[[Tensor, Tensor, Draws, AugmentConfig], Pair]
GreyChange = Callable[[Tensor, Draws, AugmentConfig], Tensor]


class Augmentation(NamedTuple):
    """A change of every image of a batch: the key of its chance in AugmentConfig, the keys that switch it off when all
    of them are 0, and its random numbers per image, the first of which decides whether it is applied."""

    chance: str
    strengths: tuple[str, ...]
    numbers: int
    change: Change


AUGMENTATIONS: list[Augmentation] = []
"""In the order in which they are applied."""


def moves(chance: str, *, strengths: tuple[str, ...] = (), draws: int = 0) -> Callable[[Change], Change]:
    """Decorates `(images, masks, draws, config) -> (images, masks)`, a change of both."""

    def register(change: Change) -> Change:
        AUGMENTATIONS.append(Augmentation(chance, strengths, draws + 1, change))
        return change

    return register


def changes_grey(chance: str, *, strengths: tuple[str, ...] = (), draws: int = 0) -> Callable[[GreyChange], GreyChange]:
    """Decorates `(images, draws, config) -> images`, a change of the grey values only. The result is clamped to 0…1."""

    def register(change: GreyChange) -> GreyChange:
        @moves(chance, strengths=strengths, draws=draws)
        def both(images: Tensor, masks: Tensor, draws: Draws, config: AugmentConfig) -> Pair:
            return change(images, draws, config).clamp(0, 1), masks

        return change

    return register


@changes_grey("autocontrast")
def stretch_to_full_range(images: Tensor, draws: Draws, config: AugmentConfig) -> Tensor:
    """An image of one grey value stays unchanged."""
    darkest, brightest = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    reach = brightest - darkest
    return torch.where(reach > 0, (images - darkest) / reach.clamp(min=1e-6), images)


@changes_grey("intensity_chance", strengths=("brightness", "contrast"), draws=2)
def change_brightness_and_contrast(images: Tensor, draws: Draws, config: AugmentConfig) -> Tensor:
    """Multiply the grey values by a factor, then their distance from the image's mean by another."""
    brighter = images * (1 + draws.boosted(0, config.brightness, 1.0))
    mean = brighter.mean((2, 3), keepdim=True)
    return mean + (brighter - mean) * (1 + draws.boosted(1, config.contrast, 1.0))


@changes_grey("gamma_chance", draws=1)
def raise_to_gamma(images: Tensor, draws: Draws, config: AugmentConfig) -> Tensor:
    """Exponents are uniform in the logarithm, so darker and brighter are equally likely in a range such as 0.7…1.45."""
    return images ** draws.log_boosted(0, *config.gamma, MOST_GAMMA)


@changes_grey("blur", draws=1)
def blur_slightly(images: Tensor, draws: Draws, config: AugmentConfig) -> Tensor:
    """Gaussian, with a sigma for each image: rows, then columns, each image a channel with its own kernel."""
    sigma = draws.between(0, *BLUR_SIGMA)
    offsets = torch.arange(-BLUR_RADIUS, BLUR_RADIUS + 1, device=images.device).view(1, 1, 1, -1)
    kernel = (-0.5 * (offsets / sigma) ** 2).exp()
    kernel = kernel / kernel.sum(3, keepdim=True)
    channels = images.transpose(0, 1)
    padded = functional.pad(channels, (BLUR_RADIUS,) * 4, mode="reflect")
    blurred = functional.conv2d(padded, kernel, groups=len(images))
    return functional.conv2d(blurred, kernel.transpose(2, 3), groups=len(images)).transpose(0, 1)


@changes_grey("noise_chance", strengths=("noise",), draws=2)
def add_noise(images: Tensor, draws: Draws, config: AugmentConfig) -> Tensor:
    """Gaussian, with a sigma up to `noise` and a seed for each image."""
    seeds = (draws.numbers[:, 1] * 2**24).int().view(-1, 1, 1, 1)
    sigma = draws.between(0, 0.0, config.noise)
    return images + sigma * gaussian_noise(seeds, images.shape[2], images.shape[3])


@changes_grey("cutout_chance", draws=4)
def blank_a_rectangle(images: Tensor, draws: Draws, config: AugmentConfig) -> Tensor:
    """A black rectangle inside the image. The mask stays: the network has to infer the hidden part from its
    surroundings."""
    area = draws.between(0, *config.cutout)
    aspect = draws.between(1, -math.log(CUTOUT_ASPECT), math.log(CUTOUT_ASPECT)).exp()
    aspect = aspect.clamp(min=area).clamp(max=1 / area.clamp(min=1e-6))  # no side is longer than the image
    sides = (area * aspect).sqrt(), (area / aspect).sqrt()
    inside = torch.ones_like(images, dtype=torch.bool)
    for axis, (side, column) in enumerate(zip(sides, (2, 3), strict=True), 2):
        length = images.shape[axis]
        centres = (torch.arange(length, device=images.device) + 0.5) / length
        centres = centres.view([-1 if dimension == axis else 1 for dimension in range(4)])
        start = draws.between(column, 0.0, 1 - side)
        inside = inside & (centres >= start) & (centres < start + side)
    return torch.where(inside, 0.0, images)


def gaussian_noise(seeds: Tensor, height: int, width: int) -> Tensor:
    """Standard normal (B, 1, height, width) from int32 seeds (B, 1, 1, 1), the same on every device and in every batch.

    The device's own random generator would give the same image different noise in a different batch. Instead, a hash of
    pixel and seed is mapped to a uniform number, which is transformed to a normal one.
    """
    pixels = torch.arange(height * width, dtype=torch.int32, device=seeds.device).view(1, 1, height, width)
    bits = _hash(_hash(pixels) ^ seeds)
    uniform = ((bits & 0x7FFFFF) * 2 + 1).float() / 2**23 - 1  # exact, never -1 or 1
    return uniform.erfinv() * math.sqrt(2)


def _hash(bits: Tensor) -> Tensor:
    """Well-mixed int32 from int32 (lowbias32 by C. Wellons; products wrap around)."""
    bits = (bits ^ ((bits >> 16) & 0xFFFF)) * 0x7FEB352D
    bits = (bits ^ ((bits >> 15) & 0x1FFFF)) * (0x846CA68B - 2**32)
    return bits ^ ((bits >> 16) & 0xFFFF)


@moves("hflip")
def flip_left_right(images: Tensor, masks: Tensor, draws: Draws, config: AugmentConfig) -> Pair:
    return images.flip(3), masks.flip(3)


@moves("vflip")
def flip_upside_down(images: Tensor, masks: Tensor, draws: Draws, config: AugmentConfig) -> Pair:
    return images.flip(2), masks.flip(2)


@moves("affine_chance", strengths=("rotate", "scale", "translate"), draws=4)
def rotate_zoom_and_shift(images: Tensor, masks: Tensor, draws: Draws, config: AugmentConfig) -> Pair:
    """Rotate about the centre, zoom, then shift; new areas are black. Bilinear for images, nearest for masks.

    Positives are not boosted: their larger black areas would reveal the label. The grid is computed by sums instead of
    `affine_grid`, whose matrix product TF32 rounds to a tenth of a pixel.
    """
    angle = torch.deg2rad(draws.between(0, -config.rotate, config.rotate))[:, 0]
    zoom = 1 + draws.between(1, -config.scale, config.scale)[:, 0]
    shift_x, shift_y = (2 * draws.between(column, -config.translate, config.translate)[:, 0] for column in (2, 3))
    side = images.shape[-1]
    centres = (torch.arange(side, device=images.device) * 2 + 1) / side - 1  # pixel centres, -1…1 across the image
    x, y = (centres[None, None, :] - shift_x) / zoom, (centres[None, :, None] - shift_y) / zoom
    cosine, sine = angle.cos(), angle.sin()
    grid = torch.stack((cosine * x + sine * y, cosine * y - sine * x), 3)
    moved = functional.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    moved_masks = functional.grid_sample(masks, grid, mode="nearest", padding_mode="zeros", align_corners=False)
    return moved.clamp(0, 1), moved_masks  # interpolation may round to a sum above 1


NUMBERS = sum(augmentation.numbers for augmentation in AUGMENTATIONS)
"""Random numbers per image."""


def augment(images: Tensor, masks: Tensor, fractured: Tensor, numbers: Tensor, config: AugmentConfig) -> Pair:
    """The changed images and masks.

    `images`: float (B, 1, S, S), 0…1, before and after; `masks`: float (B, 1, S, S), 0, 1 or -1 (ignored); `fractured`:
    float (B,), 0 or 1; `numbers`: float (B, NUMBERS), uniform from 0 to 1 (exclusive). All on one device.
    """
    boost = 1 + (config.positive_boost - 1) * fractured
    first = 0
    for augmentation in AUGMENTATIONS:
        own = numbers[:, first : first + augmentation.numbers]
        first += augmentation.numbers
        chance, strengths = getattr(config, augmentation.chance), augmentation.strengths
        if chance and (not strengths or any(getattr(config, strength) for strength in strengths)):
            chosen = (own[:, 0] < chance).view(-1, 1, 1, 1)
            new_images, new_masks = augmentation.change(images, masks, Draws(own[:, 1:], boost), config)
            images = torch.where(chosen, new_images, images)
            masks = masks if new_masks is masks else torch.where(chosen, new_masks, masks)
    return images, masks
