"""Terms that look at an image's presence score: is there a fracture at all?"""

from __future__ import annotations

import torch
from torch.nn import functional

from engine.contract.losses import ClassifierLossConfig, LossConfig
from engine.training.losses.term import Said, term

TOPK_FRACTION = 0.01


@term(LossConfig)
def presence(config: LossConfig, said: Said) -> torch.Tensor | None:
    """The BCE of the second head; off without one."""
    logit = said.prediction.presence_logit
    if logit is None or not config.presence:
        return None
    return config.presence * _ramp(config, said.epoch) * _bce(logit, said.fractured)


@term(LossConfig)
def map_presence(config: LossConfig, said: Said) -> torch.Tensor | None:
    """A BCE on the logit map itself, whose highest pixels speak for the image."""
    chosen = config.map_presence
    if chosen is None or not chosen.weight:
        return None
    logit = said.logits.amax(1) if chosen.source == "max" else topk_mean(said.logits)
    return chosen.weight * _ramp(config, said.epoch) * _bce(logit, said.fractured)


@term(ClassifierLossConfig)
def classifier(config: ClassifierLossConfig, said: Said) -> torch.Tensor | None:
    """The BCE of a classifier. Labels are 1 - s and s (Szegedy et al. 2016, for two classes s = epsilon / 2)."""
    logit = said.prediction.presence_logit
    if logit is None:
        raise TypeError("a classifier's loss needs its presence logit")
    labels = said.fractured * (1 - 2 * config.label_smoothing) + config.label_smoothing
    return _bce(logit, labels, config.pos_weight)


def topk_mean(logits: torch.Tensor) -> torch.Tensor:
    """(B, P) -> (B,): the mean of each image's highest 1 % of logits."""
    return logits.topk(max(1, round(TOPK_FRACTION * logits.shape[1])), dim=1).values.mean(1)


def _ramp(config: LossConfig, epoch: float) -> float:
    """The share of the presence weights at an epoch: from 0, linearly, to 1."""
    return min(1.0, epoch / config.presence_ramp_epochs) if config.presence_ramp_epochs else 1.0


def _bce(logit: torch.Tensor, labels: torch.Tensor, pos_weight: float = 1.0) -> torch.Tensor:
    weight = logit.new_full((), pos_weight)
    return functional.binary_cross_entropy_with_logits(logit, labels, pos_weight=weight)
