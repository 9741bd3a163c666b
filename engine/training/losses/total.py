"""The loss of a batch."""

from __future__ import annotations

import torch

from engine.contract.errors import BadInput
from engine.contract.losses import ClassifierLossConfig, LossConfig
from engine.models.network import Prediction
from engine.training.losses import overlap, pixels, presence  # noqa: F401 - they register their terms
from engine.training.losses.term import TERMS, Across, Said, alone


def training_loss(
    prediction: Prediction,
    masks: torch.Tensor,
    fractured: torch.Tensor,
    config: LossConfig | ClassifierLossConfig,
    epoch: float,
    across: Across = alone,
) -> torch.Tensor:
    """The sum of the terms that are on, in float32 whatever the network computed in.

    `masks`: (B, 1, H, W); `fractured`: (B,); `epoch`: how many have passed, fractions included. Raises BadInput where
    the config leaves nothing to learn from.
    """
    said = Said(Prediction(*(_float(logits) for logits in prediction)), masks.float(), fractured.float(), epoch, across)
    values = [value for term in TERMS[type(config)] if (value := term(config, said)) is not None]
    if not values:
        raise BadInput("loss: every term that this network can have is off; give one of them a weight")
    return torch.stack(values).sum()


def _float(logits: torch.Tensor | None) -> torch.Tensor | None:
    return None if logits is None else logits.float()
