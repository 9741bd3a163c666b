"""Training batches: as the loader returns them, and as the network takes them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from engine.contract.augment import AugmentConfig
from engine.contract.data import PatchConfig
from engine.data.augment import NUMBERS, augment
from engine.data.inputs import Inputs
from engine.data.patches import PATCH_NUMBERS, corner
from engine.data.sampling import Draw


class Batch(NamedTuple):
    """Bytes, and random numbers for the augmentation on the device: small enough to send between processes."""

    image: torch.Tensor
    """uint8 (B, 1, S, S)."""
    mask: torch.Tensor
    """int8 (B, 1, S, S): 1 fracture, 0 none, -1 ignored."""
    fractured: torch.Tensor
    """float32 (B,), 0 or 1."""
    position: torch.Tensor
    """int64 (B,): positions of the samples in the split."""
    numbers: torch.Tensor
    """float32 (B, NUMBERS), uniform from 0 to 1, from each sample's own seed."""


class TrainingSamples(Dataset[Batch]):
    """Batches of samples, or of patches of them; the index is a list of (sample, seed of its random numbers)."""

    def __init__(self, inputs: Inputs, patch: PatchConfig | None = None) -> None:
        """With `patch`, the inputs must have their positions."""
        self.inputs, self.patch = inputs, patch

    def __getitem__(self, draws: list[Draw]) -> Batch:
        cut = [self._cut(index, seed) for index, seed in draws]
        images, masks, fractured, numbers = zip(*cut, strict=True)
        return Batch(
            torch.from_numpy(np.stack(images))[:, None],
            torch.from_numpy(np.stack(masks))[:, None],
            torch.tensor(fractured, dtype=torch.float32),
            torch.tensor([index for index, _ in draws]),
            torch.stack(numbers),
        )

    def _cut(self, index: int, seed: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int8], bool, torch.Tensor]:
        """(image, mask, whether it shows a fracture, numbers). A patch beside the fracture shows no fracture."""
        drawn = torch.rand(PATCH_NUMBERS + NUMBERS, generator=torch.Generator().manual_seed(seed))
        for_patch, for_augmentation = drawn.split([PATCH_NUMBERS, NUMBERS])
        image, mask = self.inputs.images[index], self.inputs.masks[index]
        if self.patch is None:
            return image, mask, self.inputs.samples[index].fractured, for_augmentation
        assert self.inputs.positions is not None
        row, column = corner(self.inputs.positions[index], self.patch, for_patch.numpy())
        window = (slice(row, row + self.patch.size), slice(column, column + self.patch.size))
        return image[window], mask[window], bool((mask[window] > 0).any()), for_augmentation


def on_device(
    batch: Batch, device: torch.device, config: AugmentConfig
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(image, mask, fractured) of a batch, augmented on the device: float32 (B, 1, S, S) in 0…1, (B, 1, S, S) and (B,)
    of 0 and 1, in the mask also -1 for ignored pixels. An image whose fracture was moved out of the picture becomes a
    negative. Does not wait for the device."""
    image, mask, fractured, numbers = (
        part.to(device, non_blocking=True) for part in (batch.image, batch.mask, batch.fractured, batch.numbers)
    )
    image, mask = image.float().div_(255), mask.float()
    had_one = mask.amax((1, 2, 3)).clamp(min=0)
    image, mask = augment(image, mask, fractured, numbers, config)
    return image, mask, fractured * (1 - had_one + mask.amax((1, 2, 3)).clamp(min=0))
