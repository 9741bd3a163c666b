"""Terms that look at how far masks overlap, image by image, on positives alone.

An empty reference has no overlap to speak of: what is predicted there is BCE's part. `DiceLoss` of
segmentation-models-pytorch is another loss: it pools over the batch, which weighs an image by its fracture's area and
makes a false positive on an empty image cost other images' Dice.
"""

from __future__ import annotations

import torch

from engine.contract.losses import LossConfig
from engine.training.losses.term import EPSILON, Across, Said, alone, mean_over, term


@term(LossConfig)
def dice(config: LossConfig, said: Said) -> torch.Tensor | None:
    """The soft Dice loss."""
    if not config.dice:
        return None
    return config.dice * soft_dice_on_positives(said.logits, said.pixels, said.across)


@term(LossConfig)
def focal_tversky(config: LossConfig, said: Said) -> torch.Tensor | None:
    """The focal Tversky loss."""
    chosen = config.focal_tversky
    if chosen is None or not chosen.weight:
        return None
    each = focal_tversky_per_image(said.logits, said.pixels, chosen.alpha, chosen.beta, chosen.gamma)
    return chosen.weight * mean_over(each, said.positive, said.across)


def soft_dice_on_positives(logits: torch.Tensor, masks: torch.Tensor, across: Across = alone) -> torch.Tensor:
    """Mean of 1 - soft Dice over the images whose mask is not empty; 0 where there is none.

    One Dice an image (Milletari et al. 2016, with sums instead of squares), not one over the batch. `logits`, `masks`:
    (B, …), float. On several ranks the mean of what they return is that of the whole batch, however its positives fell.
    """
    probabilities = logits.float().sigmoid().flatten(1)
    masks = masks.flatten(1)
    area = masks.sum(1)
    overlap = (probabilities * masks).sum(1)
    score = (2 * overlap + EPSILON) / (probabilities.sum(1) + area + EPSILON)
    return mean_over(1 - score, (area > 0).float(), across)


def focal_tversky_per_image(
    logits: torch.Tensor, pixels: torch.Tensor, alpha: float, beta: float, gamma: float
) -> torch.Tensor:
    """(B, P) each -> (B,): (1 - T)^gamma with T = tp / (tp + alpha fp + beta fn), all soft.

    alpha weighs false positives and beta false negatives, as in Salehi et al. (2017); Abraham and Khan (2019) call them
    the other way round, and gamma 1 / gamma: their 4/3 is 0.75 here.
    """
    probabilities = logits.sigmoid()
    tp = (probabilities * pixels).sum(1)
    fp = (probabilities * (1 - pixels)).sum(1)
    fn = ((1 - probabilities) * pixels).sum(1)
    tversky = (tp + EPSILON) / (tp + alpha * fp + beta * fn + EPSILON)
    return (1 - tversky).clamp(min=EPSILON) ** gamma  # a power below 1 has no gradient at 0
