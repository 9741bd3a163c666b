"""What a term of the loss is: one function of what a network said of a batch and of what is true."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from engine.contract.section import Section
from engine.models.network import Prediction

EPSILON = 1e-6

Across = Callable[[torch.Tensor], torch.Tensor]
"""The mean of a number over the ranks of a training on several GPUs."""


def alone(value: torch.Tensor) -> torch.Tensor:
    """Across the one rank that there is."""
    return value


@dataclass(frozen=True, slots=True)
class Said:
    """A batch: what the network said of it, in float32, and what is true."""

    prediction: Prediction
    masks: torch.Tensor
    """float32 (B, 1, H, W), 0 or 1."""
    fractured: torch.Tensor
    """float32 (B,), 0 or 1."""
    epoch: float
    """How many have passed, fractions included."""
    across: Across = alone

    @property
    def logits(self) -> torch.Tensor:
        """(B, H * W), of the masks."""
        if self.prediction.mask_logits is None:
            raise TypeError("a classifier has no mask for this term to look at")
        return self.prediction.mask_logits.flatten(1)

    @property
    def pixels(self) -> torch.Tensor:
        """(B, H * W), 0 or 1: the masks as they should be."""
        return self.masks.flatten(1)

    @property
    def positive(self) -> torch.Tensor:
        """(B,): 1 where the mask is not empty. A patch of a fractured image may well be empty."""
        return self.pixels.amax(1)


Config = TypeVar("Config", bound=Section)
Term = Callable[[Config, Said], torch.Tensor | None]
TERMS: dict[type[Section], list[Term[Any]]] = {}


def term(config: type[Config]) -> Callable[[Term[Config]], Term[Config]]:
    """Decorates the function `(config, said) -> loss or None` of a loss config: its weight is in it, None is off.

    It must not wait for the GPU (no `.item()`, no boolean indexing). The mean over the ranks of what it returns must be
    the term of the whole batch: a mean over all images is, one over some of them goes through `mean_over`.
    """

    def register(function: Term[Config]) -> Term[Config]:
        TERMS.setdefault(config, []).append(function)
        return function

    return register


def mean_over(values: torch.Tensor, chosen: torch.Tensor, across: Across) -> torch.Tensor:
    """The mean of `values` (B,) where `chosen` (B,) is 1; 0 where it is so nowhere.

    On several ranks the mean of what they return is that of the whole batch, however its images fell.
    """
    return (values * chosen).sum() / across(chosen.sum()).clamp(min=EPSILON)
