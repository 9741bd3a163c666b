"""What an augmentation is. A new one is a key or two in AugmentConfig and one function with a decorator."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from engine.contract.augment import AugmentConfig


@dataclass(frozen=True, slots=True)
class Draws:
    """The random numbers that one augmentation has for the images of a batch."""

    numbers: torch.Tensor
    """(B, as many as it asked for), evenly from 0 to 1."""
    boost: torch.Tensor
    """(B,): by which the strengths of affine, intensity and gamma are multiplied."""

    def between(self, column: int, low: float | torch.Tensor, high: float | torch.Tensor) -> torch.Tensor:
        """(B, 1, 1, 1): a number between the two for each image."""
        return low + (high - low) * self.numbers[:, column].view(-1, 1, 1, 1)

    def log_between(self, column: int, low: float, high: float) -> torch.Tensor:
        """The same, evenly in the logarithm: half and double are equally likely."""
        return self.between(column, math.log(low), math.log(high)).exp()

    def boosted(self, column: int, strength: float, most: float) -> torch.Tensor:
        """(B, 1, 1, 1): between -strength and strength; on positives up to their multiple of it, and to `most`."""
        reach = (self.boost * strength).clamp(max=most).view(-1, 1, 1, 1)
        return self.between(column, -reach, reach)

    def log_boosted(self, column: int, low: float, high: float, most: float) -> torch.Tensor:
        """As `log_between`; on positives the logarithm is multiplied, as far as both ends stay between 1 / most and
        most."""
        reach = max(abs(math.log(low)), abs(math.log(high)))
        times = self.boost.clamp(max=math.log(most) / reach) if reach else self.boost
        return (times.view(-1, 1, 1, 1) * self.between(column, math.log(low), math.log(high))).exp()


Change = Callable[[torch.Tensor, torch.Tensor, Draws, AugmentConfig], tuple[torch.Tensor, torch.Tensor]]
GreyChange = Callable[[torch.Tensor, Draws, AugmentConfig], torch.Tensor]


@dataclass(frozen=True, slots=True)
class Augmentation:
    """A change of every image of a batch; who calls it keeps those that were not chosen."""

    chance: str
    """The key of AugmentConfig that holds its chance."""
    strengths: tuple[str, ...]
    """The keys that switch it off when all of them are 0."""
    numbers: int
    """Random numbers that an image needs, the one that chooses it included."""
    change: Change

    def is_on(self, config: AugmentConfig) -> bool:
        strong = not self.strengths or any(getattr(config, strength) for strength in self.strengths)
        return getattr(config, self.chance) > 0 and strong


AUGMENTATIONS: list[Augmentation] = []
"""In the order in which they are applied."""


def moves(chance: str, *, strengths: tuple[str, ...] = (), draws: int = 0) -> Callable[[Change], Change]:
    """Decorates `(images, masks, draws, config) -> (images, masks)`, a change of both."""

    def register(change: Change) -> Change:
        AUGMENTATIONS.append(Augmentation(chance, strengths, draws + 1, change))
        return change

    return register


def changes_grey(chance: str, *, strengths: tuple[str, ...] = (), draws: int = 0) -> Callable[[GreyChange], GreyChange]:
    """Decorates `(images, draws, config) -> images`, a change that leaves the mask as it is. What it returns is
    clamped to 0…1."""

    def register(change: GreyChange) -> GreyChange:
        def both(
            images: torch.Tensor, masks: torch.Tensor, given: Draws, config: AugmentConfig
        ) -> tuple[torch.Tensor, torch.Tensor]:
            return change(images, given, config).clamp(0, 1), masks

        AUGMENTATIONS.append(Augmentation(chance, strengths, draws + 1, both))
        return change

    return register
