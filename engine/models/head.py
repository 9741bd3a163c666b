"""The head that says whether there is a fracture at all."""

from __future__ import annotations

from torch import nn

from engine.contract.models import ClassificationHeadConfig


def classification_head(features: int, config: ClassificationHeadConfig) -> nn.Sequential:
    """(B, features, h, w) -> (B, 1): pool, hidden layer, dropout, one logit."""
    hidden = [nn.Linear(features, config.hidden), nn.ReLU()] if config.hidden else []
    last = nn.Linear(config.hidden or features, 1)
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), *hidden, nn.Dropout(config.dropout), last)
