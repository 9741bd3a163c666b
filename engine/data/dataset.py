"""Training batches: as the loader hands them out, and as the network takes them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset

from engine.contract.augment import AugmentConfig
from engine.data.augment import NUMBERS, augment
from engine.data.inputs import Inputs
from engine.data.order import Draw


class Batch(NamedTuple):
    """Small enough to travel: bytes, and random numbers for what is done with them on the device."""

    image: torch.Tensor
    """uint8 (B, 1, S, S)."""
    mask: torch.Tensor
    """bool (B, 1, S, S)."""
    fractured: torch.Tensor
    """float32 (B,), 0 or 1."""
    place: torch.Tensor
    """int64 (B,): the samples' places in the split."""
    numbers: torch.Tensor
    """float32 (B, NUMBERS), evenly from 0 to 1: each sample's own, by its seed alone."""


class TrainingSamples(Dataset[Batch]):
    """Samples of a split, a batch at a time, by (index, seed of all that is random about it)."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs
        self.fractured = torch.tensor([float(sample.fractured) for sample in inputs.samples])

    def __getitem__(self, draws: list[Draw]) -> Batch:
        places = [index for index, _ in draws]
        image = np.stack([self.inputs.images[place] for place in places])
        mask = np.stack([self.inputs.masks[place] for place in places])
        numbers = torch.stack([_numbers(seed) for _, seed in draws])
        return Batch(
            torch.from_numpy(image)[:, None],
            torch.from_numpy(mask)[:, None],
            self.fractured[places],
            torch.tensor(places),
            numbers,
        )


def on_device(
    batch: Batch, device: torch.device, config: AugmentConfig
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(image, mask, fractured) of a batch, augmented there: float32 (B, 1, S, S) in 0…1, (B, 1, S, S) and (B,) of 0
    and 1. A fracture that was moved out of the picture takes its label along. Does not wait for the device."""
    image, mask, fractured, numbers = (
        part.to(device, non_blocking=True) for part in (batch.image, batch.mask, batch.fractured, batch.numbers)
    )
    image, mask = image.float().div_(255), mask.float()
    had_one = mask.amax((1, 2, 3))
    image, mask = augment(image, mask, fractured, numbers, config)
    return image, mask, fractured * (1 - had_one + mask.amax((1, 2, 3)))


def _numbers(seed: int) -> torch.Tensor:
    return torch.rand(NUMBERS, generator=torch.Generator().manual_seed(seed))
