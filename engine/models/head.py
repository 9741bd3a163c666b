"""The head that says whether there is a fracture at all."""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import nn

from engine.contract.models import ClassificationHeadConfig

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
