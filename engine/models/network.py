"""A segmentation network with its input normalisation inside and, where asked for, a classification head."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from engine.contract.config import ClassificationHeadConfig, ModelConfig
from engine.contract.errors import BadInput
from engine.contract.text import clean
from engine.models.weights import load_encoder_weights


class Prediction(NamedTuple):
    """What a network says of a batch."""

    mask_logits: torch.Tensor
    """(B, 1, S, S)."""
    presence_logit: torch.Tensor | None
    """(B,), None without a classification head."""


class XrayNetwork(nn.Module):
    """Grey images in, mask and presence logits out. Mean and standard deviation travel with the weights, so no
    evaluation can normalise differently from its training."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, segmenter: nn.Module, in_channels: int, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.segmenter, self.in_channels = segmenter, in_channels
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, image: torch.Tensor) -> Prediction:
        """`image`: float (B, 1, S, S), 0…1."""
        output = self.segmenter((image.expand(-1, self.in_channels, -1, -1) - self.mean) / self.std)
        if isinstance(output, tuple):
            return Prediction(output[0], output[1].squeeze(1))
        return Prediction(output, None)


def build_network(config: ModelConfig, *, pretrained: bool = True) -> XrayNetwork:
    """The network of a config; its input is (x - 0.5) / 0.5, or normalised as ImageNet's for weights from the hub.
    `pretrained=False` leaves weights and normalisation to the checkpoint that follows.

    Raises BadInput in one line for an encoder that does not exist or weights that cannot be had.
    """
    import segmentation_models_pytorch as smp

    options = {} if config.decoder_channels is None else _decoder_options(config)
    normalisation = ((0.5,) * config.in_channels, (0.5,) * config.in_channels)
    hub = pretrained and config.encoder_weights == "imagenet"
    if hub:
        print(f"encoder weights: fetching ImageNet's for {clean(config.encoder)} from the hub …", flush=True)
    try:
        segmenter = smp.create_model(
            config.arch,
            encoder_name=config.encoder,
            encoder_weights=(True if config.encoder.startswith("tu-") else "imagenet") if hub else None,
            in_channels=config.in_channels,
            classes=1,
            **options,
        )
        if hub and config.in_channels == 3:
            known = smp.encoders.get_preprocessing_params(config.encoder, "imagenet")
            normalisation = (tuple(known["mean"]), tuple(known["std"]))
    except Exception as error:  # smp, timm and the hub raise whatever they like
        raise BadInput(_why(config, hub, error)) from error
    if pretrained and config.encoder_weights and not hub:
        load_encoder_weights(segmenter.encoder, config.encoder_weights)
    if config.classification_head is not None:
        segmenter.classification_head = _head(segmenter.encoder.out_channels[-1], config.classification_head)
    return XrayNetwork(segmenter, config.in_channels, *normalisation)


def _head(features: int, config: ClassificationHeadConfig) -> nn.Sequential:
    """Pool, hidden layer, dropout, one logit."""
    hidden = [nn.Linear(features, config.hidden), nn.ReLU()] if config.hidden else []
    last = nn.Linear(config.hidden or features, 1)
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), *hidden, nn.Dropout(config.dropout), last)


def _decoder_options(config: ModelConfig) -> dict[str, object]:
    if config.arch not in ("Unet", "UnetPlusPlus", "MAnet"):
        raise BadInput(f"model.decoder_channels: {config.arch} has no such decoder; leave it empty")
    channels = tuple(config.decoder_channels or ())
    return {"decoder_channels": channels, "encoder_depth": len(channels)}


def _why(config: ModelConfig, hub: bool, error: Exception) -> str:
    reason = clean(str(error).strip().split("\n")[0])[:160]
    if hub and not isinstance(error, KeyError | ValueError | TypeError):
        return (
            f"model.encoder_weights: imagenet for {clean(config.encoder)} could not be fetched from the hub "
            f"({reason}); give a local file, or efficientnet-lite0, or leave it empty"
        )
    return f"model.encoder: {config.arch} with {clean(config.encoder)} cannot be built ({reason})"
