"""A stand-alone timm classifier: a presence logit and no mask."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from engine.contract.errors import BadInput
from engine.contract.models import TimmClassifierConfig
from engine.models.blocks import Parts, allow_batches_of_one, builds
from engine.models.weights import EFFICIENTNET_LITE0, HUB, building, encoder_normalisation

_LITE0 = "tf_efficientnet_lite0"


class Classifier(nn.Module):
    """A pooling encoder and one logit."""

    def __init__(self, encoder: nn.Module, features: int, dropout: float) -> None:
        """`encoder`: (B, C, S, S) -> (B, features)."""
        super().__init__()
        self.encoder = encoder
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(features, 1))

    def forward(self, image: torch.Tensor) -> tuple[None, torch.Tensor]:
        """No mask, and the presence logits (B, 1)."""
        return None, self.head(self.encoder(image))


@builds(TimmClassifierConfig)
def build(config: TimmClassifierConfig, pretrained: bool) -> Parts:
    """The network, with its input normalised as its pretrained weights expect it, or as (x - 0.5) / 0.5."""
    import timm

    if config.encoder_weights == EFFICIENTNET_LITE0 and config.encoder.split(".")[0] != _LITE0:
        raise BadInput(f"model.encoder_weights: efficientnet-lite0 fits model.encoder {_LITE0} only")
    hub = pretrained and config.encoder_weights == HUB
    with building(config, f"{config.encoder} of timm", hub):
        encoder: Any = timm.create_model(config.encoder, pretrained=hub, num_classes=0, in_chans=config.in_channels)
        features = int(encoder.head_hidden_size)
    known = encoder.pretrained_cfg
    published = (tuple(known["mean"]), tuple(known["std"]))
    normalisation = encoder_normalisation(config, encoder, published, pretrained)
    allow_batches_of_one(encoder)
    return Parts(Classifier(encoder, features, config.dropout), config.in_channels, *normalisation)
