"""Losses and speed between two looks. Reading a loss waits for the GPU, so it is done about once a second."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Reading:
    """What happened since the last reading."""

    losses: tuple[float, ...]
    """One a step."""
    images_per_s: float
    places: tuple[tuple[int, ...], ...]
    """Of the images of each step in their split."""
    eta_s: float
    """Of the whole training, validations included."""

    @property
    def loss(self) -> float:
        return sum(self.losses) / len(self.losses)


class Meter:
    """Collects losses on the device."""

    def __init__(self, images_per_step: int, across: Callable[[torch.Tensor], torch.Tensor]) -> None:
        """`across`: the mean of losses over the ranks."""
        self._images_per_step, self._across = images_per_step, across
        self._losses: list[torch.Tensor] = []
        self._places: list[torch.Tensor] = []
        self._started = self._since = time.monotonic()
        self._steps = 0

    def add(self, loss: torch.Tensor, places: torch.Tensor) -> None:
        """One step's loss, and the places of its images in their split."""
        self._losses.append(loss)
        self._places.append(places)
        self._steps += 1

    @property
    def is_due(self) -> bool:
        return time.monotonic() - self._since >= EVERY_S

    def read(self, steps_left: int) -> Reading:
        """Since the last time; at least one step."""
        losses = tuple(self._across(torch.stack(self._losses).float()).tolist())
        now = time.monotonic()
        images_per_s = len(losses) * self._images_per_step / max(now - self._since, 1e-9)
        eta = (now - self._started) / self._steps * steps_left
        places = tuple(tuple(step.tolist()) for step in self._places)
        self._losses, self._places, self._since = [], [], now
        return Reading(losses, round(images_per_s, 2), places, round(eta, 1))

    def skip(self) -> None:
        """What passed since the last reading (a validation) was no training."""
        self._since = time.monotonic()
