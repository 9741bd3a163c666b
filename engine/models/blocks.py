"""Parts that several networks share: batch norm for batches of one image, a convolution, the classification head."""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from engine.contract.models import ClassificationHeadConfig


def bear_batches_of_one(network: nn.Module) -> None:
    """Let every batch norm of a network train on one image, also where that was pooled to one pixel: in DeepLab's ASPP,
    PAN, UPerNet, or at the bottom of a deep encoder at 32 pixels.

    There a batch norm sees one value a channel, which has no variance, and torch's raises. Each gets a forward for that
    and stays what it is: timm's, which are torch's with dropout and activation behind, too. Names and values stay.
    """
    for module in network.modules():
        if isinstance(module, _BatchNorm) and not isinstance(module, BearsOne):
            kind = type(module)
            if kind not in _BEARING:
                _BEARING[kind] = type(kind.__name__, (BearsOne, kind), {})
            module.__class__ = _BEARING[kind]


class BearsOne(_BatchNorm):
    """Takes one value a channel as its running statistics say, as in evaluation, and leaves these as they are."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if not self.training or input.numel() != self.num_features:
            return super().forward(input)
        self.training = False  # its own alone: a dropout inside goes on
        try:
            return super().forward(input)
        finally:
            self.training = True


class BatchNorm(BearsOne, nn.BatchNorm2d):
    """torch's, for networks of our own."""


_BEARING: dict[type, type[BearsOne]] = {nn.BatchNorm2d: BatchNorm}
"""What bears one in whose place; of other classes made when they are met."""


def convolution(inputs: int, outputs: int) -> nn.Sequential:
    """(B, inputs, h, w) -> (B, outputs, h, w): 3x3, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), BatchNorm(outputs), nn.ReLU(inplace=True)
    )


Logits: TypeAlias = torch.Tensor | tuple[torch.Tensor, torch.Tensor]
"""What a body returns: mask logits (B, 1, S, S), or these and presence logits (B, 1)."""


def classification_head(features: int, config: ClassificationHeadConfig | None) -> nn.Sequential | None:
    """(B, features, h, w) -> (B, 1): pool, hidden layer, dropout, one logit; None where the config has none."""
    if config is None:
        return None
    hidden = [nn.Linear(features, config.hidden), nn.ReLU()] if config.hidden else []
    last = nn.Linear(config.hidden or features, 1)
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), *hidden, nn.Dropout(config.dropout), last)


def with_presence(masks: torch.Tensor, deepest: torch.Tensor, head: nn.Module | None) -> Logits:
    """Mask logits, and what the head says of the deepest features where there is one."""
    return masks if head is None else (masks, head(deepest))
