"""Training losses: the weighted sum of the terms that a config switches on, all in float32.

A new term is one function here, decorated with `@term(LossConfig)`, and its field in engine/contract/losses.py.

Overlap terms look at positive images only: an empty reference has no overlap, and false positives on it are BCE's part.
segmentation-models-pytorch's `DiceLoss` pools over the batch instead, which weighs an image by its fracture's area.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch.nn import functional

from engine.contract.base import Section
from engine.contract.errors import BadInput
from engine.contract.losses import ClassifierLossConfig, LossConfig
from engine.evaluation.presence import TOPK_FRACTION
from engine.models.network import Prediction

EPSILON = 1e-6

Across = Callable[[torch.Tensor], torch.Tensor]
"""Computes the mean of a number over the ranks of a training on several GPUs."""

Config = TypeVar("Config", bound=Section)


def alone(value: torch.Tensor) -> torch.Tensor:
    """`Across` for a single rank."""
    return value


@dataclass(frozen=True, slots=True)
class LossInput:
    """A batch: the network's prediction, in float32, and the truth."""

    prediction: Prediction
    masks: torch.Tensor
    """float32 (B, 1, H, W), 0 or 1, or -1 where a pixel is ignored."""
    fractured: torch.Tensor
    """float32 (B,), 0 or 1."""
    epoch: float
    """Epochs so far, with fractions."""
    across: Across = alone

    @property
    def logits(self) -> torch.Tensor:
        """(B, H * W) mask logits."""
        if self.prediction.mask_logits is None:
            raise TypeError("this term needs mask logits, which a classifier lacks")
        return self.prediction.mask_logits.flatten(1)

    @property
    def pixels(self) -> torch.Tensor:
        """(B, H * W), 0 or 1: the true masks, 0 where ignored."""
        return self.masks.flatten(1).clamp(min=0)

    @property
    def counted(self) -> torch.Tensor:
        """(B, H * W): 0 where a pixel is ignored, 1 elsewhere."""
        return (self.masks.flatten(1) >= 0).float()

    @property
    def probabilities(self) -> torch.Tensor:
        """(B, H * W): of a fracture, 0 where ignored."""
        return self.logits.sigmoid() * self.counted

    @property
    def positive(self) -> torch.Tensor:
        """(B,): 1 where the mask is not empty. A patch of a fractured image may have an empty mask."""
        return self.pixels.amax(1)


Term = Callable[[Config, LossInput], torch.Tensor | None]
TERMS: dict[type[Section], list[Term[Any]]] = {}


def term(config: type[Config]) -> Callable[[Term[Config]], Term[Config]]:
    """Decorates the function `(config, batch) -> loss or None` for a loss config. It applies its own weight; None: it
    is off. It must not wait for the GPU (no `.item()`, no boolean indexing). The mean over the ranks of what it returns
    must be the term of the whole batch: a mean over all images is; one over some of them goes through `mean_over`."""

    def register(function: Term[Config]) -> Term[Config]:
        TERMS.setdefault(config, []).append(function)
        return function

    return register


def mean_over(values: torch.Tensor, chosen: torch.Tensor, across: Across) -> torch.Tensor:
    """The mean of `values` (B,) where `chosen` (B,) is 1; 0 if it is 1 nowhere. The mean over the ranks of what they
    return is that of the whole batch, however its images are distributed."""
    return (values * chosen).sum() / across(chosen.sum()).clamp(min=EPSILON)


@term(LossConfig)
def dice(config: LossConfig, batch: LossInput) -> torch.Tensor | None:
    """The mean of 1 - soft Dice over positives: one Dice per image (Milletari et al. 2016, with sums instead of
    squares), not one for the batch."""
    if not config.dice:
        return None
    probabilities = batch.probabilities
    overlap = (probabilities * batch.pixels).sum(1)
    score = (2 * overlap + EPSILON) / (probabilities.sum(1) + batch.pixels.sum(1) + EPSILON)
    return config.dice * mean_over(1 - score, batch.positive, batch.across)


@term(LossConfig)
def focal_tversky(config: LossConfig, batch: LossInput) -> torch.Tensor | None:
    """The mean of (1 - T)^gamma over positives, with T = tp / (tp + alpha fp + beta fn), all soft. alpha weighs false
    positives and beta false negatives, as in Salehi et al. (2017). Abraham and Khan (2019) swap alpha and beta, and
    their gamma is the inverse: 4/3 is 0.75 here."""
    chosen = config.focal_tversky
    if chosen is None or not chosen.weight:
        return None
    probabilities, pixels = batch.probabilities, batch.pixels
    tp = (probabilities * pixels).sum(1)
    fp = (probabilities * (1 - pixels)).sum(1)
    fn = ((1 - probabilities) * pixels).sum(1)
    tversky = (tp + EPSILON) / (tp + chosen.alpha * fp + chosen.beta * fn + EPSILON)
    per_image = (1 - tversky).clamp(min=EPSILON) ** chosen.gamma  # a power below 1 has no gradient at 0
    return chosen.weight * mean_over(per_image, batch.positive, batch.across)


@term(LossConfig)
def bce(config: LossConfig, batch: LossInput) -> torch.Tensor | None:
    """The pixel BCE, with weight `pos_weight` for fracture pixels, on all images or on positives only."""
    if not config.bce:
        return None
    per_image = bce_per_image(batch.logits, batch.pixels, batch.counted, config.pos_weight)
    if config.bce_on == "all":
        return config.bce * per_image.mean()
    return config.bce * mean_over(per_image, batch.positive, batch.across)


@term(LossConfig)
def empty_bce(config: LossConfig, batch: LossInput) -> torch.Tensor | None:
    """The pixel BCE on images with an empty mask: the cost of a false positive, independent of `bce_on`."""
    if not config.empty_bce:
        return None
    per_image = bce_per_image(batch.logits, batch.pixels, batch.counted)
    return config.empty_bce * mean_over(per_image, 1 - batch.positive, batch.across)


@term(LossConfig)
def focal(config: LossConfig, batch: LossInput) -> torch.Tensor | None:
    """The mean of -a (1 - p)^gamma log p over all pixels (Lin et al. 2017, equation 5): p is the probability of the
    true class; a is alpha for fracture pixels and 1 - alpha for others, or 1. torchvision's sigmoid_focal_loss has NaN
    gradients for a gamma below 1 where 1 - p underflows to 0."""
    chosen, pixels = config.focal, batch.pixels
    if chosen is None or not chosen.weight:
        return None
    margin = batch.logits * (2 * pixels - 1)  # log p = logsigmoid(margin), log(1 - p) = logsigmoid(-margin)
    loss = -functional.logsigmoid(margin) * (chosen.gamma * functional.logsigmoid(-margin)).exp()
    if chosen.alpha is not None:
        loss = loss * (chosen.alpha * pixels + (1 - chosen.alpha) * (1 - pixels))
    return chosen.weight * mean_counted(loss, batch.counted).mean()


def bce_per_image(
    logits: torch.Tensor, pixels: torch.Tensor, counted: torch.Tensor, pos_weight: float = 1.0
) -> torch.Tensor:
    """(B, P) each -> (B,): the mean of -(w y log p + (1 - y) log(1 - p)) over an image's counted pixels. As in torch,
    it is not divided by the weights."""
    weight = logits.new_full((), pos_weight)  # torch.tensor would copy and wait
    loss = functional.binary_cross_entropy_with_logits(logits, pixels, pos_weight=weight, reduction="none")
    return mean_counted(loss, counted)


def mean_counted(values: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    """(B, P) each -> (B,): the mean over the counted pixels. The factor is exactly 1 where all count, so a mask without
    ignored pixels has the same bits as a plain mean."""
    total = counted.sum(1).clamp(min=1)
    factor = torch.full_like(total, counted.shape[1]) / total  # `number / tensor` multiplies by a rounded reciprocal
    return (values * counted).mean(1) * factor


@term(LossConfig)
def presence(config: LossConfig, batch: LossInput) -> torch.Tensor | None:
    """The BCE of the second head; off without a head."""
    logit = batch.prediction.presence_logit
    if logit is None or not config.presence:
        return None
    return config.presence * _ramp(config, batch.epoch) * _bce(logit, batch.fractured)


@term(LossConfig)
def map_presence(config: LossConfig, batch: LossInput) -> torch.Tensor | None:
    """A BCE on the logit map: its highest pixels are the image's logit."""
    chosen = config.map_presence
    if chosen is None or not chosen.weight:
        return None
    lowest = batch.logits.detach().amin(1, keepdim=True)  # ignored pixels are among the highest last
    logits = torch.where(batch.counted > 0, batch.logits, lowest)
    logit = logits.amax(1) if chosen.source == "max" else topk_mean(logits)
    return chosen.weight * _ramp(config, batch.epoch) * _bce(logit, batch.fractured)


@term(ClassifierLossConfig)
def classifier(config: ClassifierLossConfig, batch: LossInput) -> torch.Tensor | None:
    """The BCE of a classifier. Smoothed labels are s and 1 - s (Szegedy et al. 2016, for two classes s = epsilon /
    2)."""
    logit = batch.prediction.presence_logit
    if logit is None:
        raise TypeError("a classifier's loss needs its presence logit")
    labels = batch.fractured * (1 - 2 * config.label_smoothing) + config.label_smoothing
    return _bce(logit, labels, config.pos_weight)


def topk_mean(logits: torch.Tensor) -> torch.Tensor:
    """(B, P) -> (B,): the mean of each image's highest 1 % of logits."""
    return logits.topk(max(1, round(TOPK_FRACTION * logits.shape[1])), dim=1).values.mean(1)


def _ramp(config: LossConfig, epoch: float) -> float:
    """Factor of the presence weights at an epoch: from 0, linearly, to 1."""
    return min(1.0, epoch / config.presence_ramp_epochs) if config.presence_ramp_epochs else 1.0


def _bce(logit: torch.Tensor, labels: torch.Tensor, pos_weight: float = 1.0) -> torch.Tensor:
    weight = logit.new_full((), pos_weight)
    return functional.binary_cross_entropy_with_logits(logit, labels, pos_weight=weight)


def training_loss(
    prediction: Prediction,
    masks: torch.Tensor,
    fractured: torch.Tensor,
    config: LossConfig | ClassifierLossConfig,
    epoch: float,
    across: Across = alone,
) -> torch.Tensor:
    """The sum of the terms that are on, in float32 whatever precision the network used. `masks`: (B, 1, H, W), -1 where
    ignored; `fractured`: (B,); `epoch`: epochs so far, with fractions. Raises BadInput where no term is on."""
    in_float32 = Prediction(*(None if logits is None else logits.float() for logits in prediction))
    batch = LossInput(in_float32, masks.float(), fractured.float(), epoch, across)
    values = [value for term in TERMS[type(config)] if (value := term(config, batch)) is not None]
    if not values:
        raise BadInput("loss: every term of this network is off; give one a weight")
    return torch.stack(values).sum()
