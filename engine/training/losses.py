"""Training losses. All in float32, whatever the network computed in."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional

from engine.contract.losses import LossConfig
from engine.models.network import Prediction

EPSILON = 1e-6


Across = Callable[[torch.Tensor], torch.Tensor]
"""The mean of a number over the ranks of a training on several GPUs."""


def _alone(value: torch.Tensor) -> torch.Tensor:
    return value


def soft_dice_on_positives(logits: torch.Tensor, masks: torch.Tensor, across: Across = _alone) -> torch.Tensor:
    """Mean of 1 - soft Dice over the images whose mask is not empty; 0 where there is none.

    One Dice an image (Milletari et al. 2016, with sums instead of squares), not one over the batch: pooling over the
    batch would weigh an image by its fracture's area. `logits`, `masks`: (B, 1, H, W). On several ranks the mean of
    what they return is that of the whole batch, however its positives fell.
    """
    probabilities = logits.float().sigmoid().flatten(1)
    masks = masks.flatten(1)
    area = masks.sum(1)
    overlap = (probabilities * masks).sum(1)
    dice = (2 * overlap + EPSILON) / (probabilities.sum(1) + area + EPSILON)
    positive = (area > 0).float()
    return ((1 - dice) * positive).sum() / across(positive.sum()).clamp(min=EPSILON)


def training_loss(
    prediction: Prediction,
    masks: torch.Tensor,
    fractured: torch.Tensor,
    config: LossConfig,
    epoch: float,
    across: Across = _alone,
) -> torch.Tensor:
    """bce * BCE (all images) + dice * Dice (positives) + presence * BCE of the head, ramped up over its first epochs.

    `masks`: float (B, 1, H, W); `fractured`: float (B,); `epoch`: how many have passed, fractions included.
    """
    logits = prediction.mask_logits.float()
    weight = torch.tensor(config.pos_weight, device=logits.device)
    loss = config.bce * functional.binary_cross_entropy_with_logits(logits, masks, pos_weight=weight)
    loss = loss + config.dice * soft_dice_on_positives(logits, masks, across)
    if prediction.presence_logit is not None and config.presence:
        ramp = min(1.0, epoch / config.presence_ramp_epochs) if config.presence_ramp_epochs else 1.0
        presence = functional.binary_cross_entropy_with_logits(prediction.presence_logit.float(), fractured)
        loss = loss + config.presence * ramp * presence
    return loss
