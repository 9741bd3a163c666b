"""A stand-alone classifier by timm: a presence logit and no mask."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from engine.contract.errors import BadInput
from engine.contract.models import TimmClassifierConfig
from engine.contract.text import clean
from engine.models.batch_norm import bear_batches_of_one
from engine.models.registry import Normalisation, Parts, builds
from engine.models.weights import EFFICIENTNET_LITE0, load_encoder_weights

_LITE0 = "tf_efficientnet_lite0"


class Classifier(nn.Module):
    """An encoder that pools, and one logit behind it."""

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
    """Its input is (x - 0.5) / 0.5, or normalised as the weights want it that it begins from."""
    import timm

    if config.encoder_weights == EFFICIENTNET_LITE0 and config.encoder.split(".")[0] != _LITE0:
        raise BadInput(f"model.encoder_weights: efficientnet-lite0 fits model.encoder {_LITE0} only")
    hub = pretrained and config.encoder_weights == "imagenet"
    if hub:
        print(f"encoder weights: fetching ImageNet's for {clean(config.encoder)} from the hub …", flush=True)
    try:
        encoder: Any = timm.create_model(config.encoder, pretrained=hub, num_classes=0, in_chans=config.in_channels)
        features = int(encoder.head_hidden_size)
    except Exception as error:  # timm and the hub raise whatever they like
        raise BadInput(_why(config, hub, error)) from error
    normalisation: Normalisation = ((0.5,) * config.in_channels, (0.5,) * config.in_channels)
    if pretrained and config.encoder_weights and config.in_channels == 3:
        known = encoder.pretrained_cfg
        normalisation = (tuple(known["mean"]), tuple(known["std"]))
    if pretrained and config.encoder_weights and not hub:
        normalisation = load_encoder_weights(encoder, config.encoder_weights, normalisation, config.partial_weights)
    bear_batches_of_one(encoder)
    return Parts(Classifier(encoder, features, config.dropout), config.in_channels, *normalisation)


def _why(config: TimmClassifierConfig, hub: bool, error: Exception) -> str:
    reason = clean(str(error).strip().split("\n")[0])[:160]
    if hub and not isinstance(error, KeyError | ValueError | TypeError | AttributeError):
        return (
            f"model.encoder_weights: imagenet for {clean(config.encoder)} could not be fetched from the hub "
            f"({reason}); give a local file, or efficientnet-lite0, or leave it empty"
        )
    return f"model.encoder: {clean(config.encoder)} of timm cannot be built ({reason})"
