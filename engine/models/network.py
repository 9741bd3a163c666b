"""A network with its input normalisation: grey images in; mask logits, presence logits or both out."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from engine.contract.models import ModelConfig
from engine.models import classifier, deeplab, smp, swin3d, unet  # noqa: F401 - registers their networks
from engine.models.blocks import BUILDERS, Parts


class Prediction(NamedTuple):
    """A network's logits for a batch."""

    mask_logits: torch.Tensor | None
    """(B, 1, S, S); None for a classifier."""
    presence_logit: torch.Tensor | None
    """(B,); None without a classification head."""


class XrayNetwork(nn.Module):
    """Mean and standard deviation are saved with the weights, so an evaluation cannot normalise differently from the
    training."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self.segmenter, self.in_channels = parts.body, parts.in_channels
        self.register_buffer("mean", torch.tensor(parts.mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(parts.std).view(1, -1, 1, 1))

    def forward(self, image: torch.Tensor) -> Prediction:
        """`image`: float (B, 1, S, S), 0…1."""
        output = self.segmenter((image.expand(-1, self.in_channels, -1, -1) - self.mean) / self.std)
        masks, presence = output if isinstance(output, tuple) else (output, None)
        return Prediction(masks, None if presence is None else presence.squeeze(1))


def build_network(config: ModelConfig, *, pretrained: bool = True) -> XrayNetwork:
    """The network of a config. `pretrained=False` leaves weights and normalisation to the checkpoint that is loaded
    next. Raises BadInput in one line for a network that cannot be built, or weights that are not available."""
    return XrayNetwork(BUILDERS[type(config)](config, pretrained))
