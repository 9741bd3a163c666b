"""Terms that look at every pixel by itself: BCE and focal loss."""

from __future__ import annotations

import torch
from torch.nn import functional

from engine.contract.losses import LossConfig
from engine.training.losses.term import Said, mean_over, term


@term(LossConfig)
def bce(config: LossConfig, said: Said) -> torch.Tensor | None:
    """The pixel BCE, fracture pixels weighing `pos_weight`, on all images or on positives alone."""
    if not config.bce:
        return None
    each = bce_per_image(said.logits, said.pixels, config.pos_weight)
    if config.bce_on == "all":
        return config.bce * each.mean()
    return config.bce * mean_over(each, said.positive, said.across)


@term(LossConfig)
def empty_bce(config: LossConfig, said: Said) -> torch.Tensor | None:
    """The pixel BCE on images whose mask is empty: what a false positive costs, whatever `bce_on` says."""
    if not config.empty_bce:
        return None
    each = bce_per_image(said.logits, said.pixels)
    return config.empty_bce * mean_over(each, 1 - said.positive, said.across)


@term(LossConfig)
def focal(config: LossConfig, said: Said) -> torch.Tensor | None:
    """The focal loss, on all images."""
    if config.focal is None or not config.focal.weight:
        return None
    each = focal_per_image(said.logits, said.pixels, config.focal.gamma, config.focal.alpha)
    return config.focal.weight * each.mean()


def bce_per_image(logits: torch.Tensor, pixels: torch.Tensor, pos_weight: float = 1.0) -> torch.Tensor:
    """(B, P) each -> (B,): the mean of -(w y log p + (1 - y) log(1 - p)) over an image's pixels; it is not divided by
    the weights, as in torch."""
    weight = logits.new_full((), pos_weight)  # torch.tensor would copy it over and wait
    return functional.binary_cross_entropy_with_logits(logits, pixels, pos_weight=weight, reduction="none").mean(1)


def focal_per_image(logits: torch.Tensor, pixels: torch.Tensor, gamma: float, alpha: float | None) -> torch.Tensor:
    """(B, P) each -> (B,): the mean of -a (1 - p)^gamma log p over an image's pixels (Lin et al. 2017, equation 5).

    p is the probability of what is true; a is alpha for fracture pixels and 1 - alpha for others, or 1. Lin et al.
    divide by the number of anchors that hold something; here, as in torchvision, it is a mean.
    """
    margin = logits * (2 * pixels - 1)  # log p = logsigmoid(margin), log(1 - p) = logsigmoid(-margin)
    # exp(gamma log(1 - p)) has a gradient where 1 - p underflows to 0; a power below 1 of it has none.
    loss = -functional.logsigmoid(margin) * (gamma * functional.logsigmoid(-margin)).exp()
    if alpha is not None:
        loss = loss * (alpha * pixels + (1 - alpha) * (1 - pixels))
    return loss.mean(1)
