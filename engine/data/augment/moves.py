"""Augmentations that move image and mask alike."""

from __future__ import annotations

import torch
from torch.nn import functional

from engine.contract.augment import AugmentConfig
from engine.data.augment.registry import Draws, moves


@moves("hflip")
def flip_left_right(
    images: torch.Tensor, masks: torch.Tensor, draws: Draws, config: AugmentConfig
) -> tuple[torch.Tensor, torch.Tensor]:
    return images.flip(3), masks.flip(3)


@moves("vflip")
def flip_upside_down(
    images: torch.Tensor, masks: torch.Tensor, draws: Draws, config: AugmentConfig
) -> tuple[torch.Tensor, torch.Tensor]:
    return images.flip(2), masks.flip(2)


@moves("affine_chance", strengths=("rotate", "scale", "translate"), draws=4)
def rotate_zoom_and_shift(
    images: torch.Tensor, masks: torch.Tensor, draws: Draws, config: AugmentConfig
) -> tuple[torch.Tensor, torch.Tensor]:
    """About the centre, zoomed, then shifted; black where nothing was. Bilinear for images, nearest for masks.

    The grid is computed by sums, not by `affine_grid`: that multiplies matrices, which TF32 rounds to a tenth of a
    pixel.
    """
    angle = torch.deg2rad(draws.boosted(0, config.rotate, 180.0))[:, 0]
    zoom = 1 + draws.boosted(1, config.scale, 0.9)[:, 0]
    shift_x, shift_y = (2 * draws.boosted(column, config.translate, 0.5)[:, 0] for column in (2, 3))
    side = images.shape[-1]
    centres = (torch.arange(side, device=images.device) * 2 + 1) / side - 1  # of pixels, -1…1 across the image
    x, y = (centres[None, None, :] - shift_x) / zoom, (centres[None, :, None] - shift_y) / zoom
    cosine, sine = angle.cos(), angle.sin()
    grid = torch.stack((cosine * x + sine * y, cosine * y - sine * x), 3)
    moved = functional.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    moved_masks = functional.grid_sample(masks, grid, mode="nearest", padding_mode="zeros", align_corners=False)
    return moved.clamp(0, 1), moved_masks  # its weights may round to a sum above 1
