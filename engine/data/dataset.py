"""Training samples as tensors."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset
from torchvision.transforms import v2

from engine.data.augment import augment
from engine.data.inputs import Inputs
from engine.data.order import Draw


class Batch(NamedTuple):
    """Collated by the loader: a leading dimension B on everything."""

    image: torch.Tensor
    """float32 (1, S, S), 0…1."""
    mask: torch.Tensor
    """float32 (1, S, S), 0 or 1."""
    fractured: torch.Tensor
    """float32 scalar, 0 or 1."""
    place: torch.Tensor
    """int64 scalar: the sample's place in the split."""


class TrainingSamples(Dataset[Batch]):
    """Samples of a split by (index, augmentation seed)."""

    def __init__(self, inputs: Inputs, transform: v2.Transform | None) -> None:
        self.inputs, self.transform = inputs, transform

    def __getitem__(self, draw: Draw) -> Batch:
        index, seed = draw
        image = torch.from_numpy(np.array(self.inputs.images[index], np.float32)).div_(255)[None]
        mask = torch.from_numpy(np.array(self.inputs.masks[index]))[None]
        if self.transform is not None:
            image, mask = augment(self.transform, image, mask, seed)
        fractured = torch.tensor(float(self.inputs.samples[index].fractured))
        return Batch(image, mask.float(), fractured, torch.tensor(index))
