"""Which function builds the network of which config. A new network is a config model and such a function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from torch import nn

from engine.contract.base import Section

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

Builder = Callable[[Any, bool], Parts]
BUILDERS: dict[type[Section], Builder] = {}


def builds(config: type[Built]) -> Callable[[Callable[[Built, bool], Parts]], Callable[[Built, bool], Parts]]:
    """Decorates the function `(config, pretrained) -> Parts` for a config model. `pretrained=False` leaves the weights
    to the checkpoint that is loaded next. The function raises BadInput in one line for a network that cannot be built,
    or weights that are not available."""

    def register(build: Callable[[Built, bool], Parts]) -> Callable[[Built, bool], Parts]:
        BUILDERS[config] = build
        return build

    return register
