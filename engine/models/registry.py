"""Which function builds the network of which config. A new network is a config model and one such function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from torch import nn

from engine.contract.base import Section

Built = TypeVar("Built", bound=Section)


@dataclass(frozen=True, slots=True)
class Parts:
    """A network before its input normalisation.

    `body` takes float (B, in_channels, S, S) and returns mask logits (B, 1, S, S), or a tuple of these and presence
    logits (B, 1), or of None and the latter where it makes no mask. What was or may be pretrained is its `encoder`:
    that has a learning rate of its own, and can rest.
    """

    body: nn.Module
    in_channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


Normalisation: TypeAlias = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of each channel, of values 0…1."""

IMAGENET: Normalisation = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""What torchvision's weights were trained with, Kinetics' too."""

Builder = Callable[[Any, bool], Parts]
BUILDERS: dict[type[Section], Builder] = {}


def builds(config: type[Built]) -> Callable[[Callable[[Built, bool], Parts]], Callable[[Built, bool], Parts]]:
    """Decorates the function `(config, pretrained) -> Parts` for a config model.

    `pretrained=False` leaves weights to the checkpoint that follows. It raises BadInput in one line for what cannot be
    built, or weights that cannot be had.
    """

    def register(build: Callable[[Built, bool], Parts]) -> Callable[[Built, bool], Parts]:
        BUILDERS[config] = build
        return build

    return register
