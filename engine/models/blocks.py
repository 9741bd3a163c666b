"""What networks share: the registry of builders, batch norm for batches of one image, a convolution, the head."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from engine.contract.base import Section
from engine.contract.models import ClassificationHeadConfig

Logits: TypeAlias = torch.Tensor | tuple[torch.Tensor, torch.Tensor]
"""Output of a network body: mask logits (B, 1, S, S), or these and presence logits (B, 1)."""

Built = TypeVar("Built", bound=Section)


@dataclass(frozen=True, slots=True)
class Parts:
    """A network before its input normalisation. `body` takes float (B, in_channels, S, S) and returns mask logits (B,
    1, S, S), or a tuple of mask logits (None without masks) and presence logits (B, 1). Its attribute `encoder` is the
    part that can be pretrained, have its own learning rate, and be frozen."""

    body: nn.Module
    in_channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


Normalisation: TypeAlias = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of each channel, for values 0…1."""

IMAGENET: Normalisation = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Normalisation of torchvision's weights, those for Kinetics too."""

Build = Callable[[Built, bool], Parts]
BUILDERS: dict[type[Section], Build[Any]] = {}


def builds(config: type[Built]) -> Callable[[Build[Built]], Build[Built]]:
    """Decorates the function `(config, pretrained) -> Parts` for a config model. `pretrained=False` leaves the weights
    to the checkpoint that is loaded next. The function raises BadInput in one line for a network that cannot be built,
    or weights that are not available."""

    def register(build: Build[Built]) -> Build[Built]:
        BUILDERS[config] = build
        return build

    return register


def allow_batches_of_one(network: nn.Module) -> None:
    """Let every batch norm of a network train on one image, also on features pooled to one pixel: in DeepLab's ASPP,
    PAN, UPerNet, or at the bottom of a deep encoder at 32 pixels. There torch's batch norm raises an error, because one
    value per channel has no variance. Each module gets a subclass of its own class, so timm's norms, which include
    dropout and activation, keep their behaviour. Names and values of parameters stay."""
    for module in network.modules():
        if isinstance(module, _BatchNorm) and not isinstance(module, OneImageBatchNorm):
            kind = type(module)
            if kind not in _SUBSTITUTES:
                _SUBSTITUTES[kind] = type(kind.__name__, (OneImageBatchNorm, kind), {})
            module.__class__ = _SUBSTITUTES[kind]


class OneImageBatchNorm(_BatchNorm):
    """A batch norm that normalises one value per channel with its running statistics, as in evaluation, without
    updating them."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if not self.training or input.numel() != self.num_features:
            return super().forward(input)
        self.training = False  # only this module: a dropout inside keeps its mode
        try:
            return super().forward(input)
        finally:
            self.training = True


class BatchNorm(OneImageBatchNorm, nn.BatchNorm2d):
    """torch's BatchNorm2d with that behaviour, for our own networks."""


_SUBSTITUTES: dict[type, type[OneImageBatchNorm]] = {nn.BatchNorm2d: BatchNorm}
"""Batch norm class -> its OneImageBatchNorm subclass, created when first needed."""


def convolution(inputs: int, outputs: int) -> nn.Sequential:
    """(B, inputs, h, w) -> (B, outputs, h, w): 3x3, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), BatchNorm(outputs), nn.ReLU(inplace=True)
    )


def classification_head(features: int, config: ClassificationHeadConfig | None) -> nn.Sequential | None:
    """(B, features, h, w) -> (B, 1): pool, hidden layer, dropout, one logit. None if the config has no head."""
    if config is None:
        return None
    hidden = [nn.Linear(features, config.hidden), nn.ReLU()] if config.hidden else []
    last = nn.Linear(config.hidden or features, 1)
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), *hidden, nn.Dropout(config.dropout), last)


def with_presence(masks: torch.Tensor, deepest: torch.Tensor, head: nn.Module | None) -> Logits:
    """Mask logits, with the head's presence logits of the deepest features if there is a head."""
    return masks if head is None else (masks, head(deepest))
