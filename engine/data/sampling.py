"""Which images, and which patches of them, a training sees at each step.

Both depend on the seed and the epoch alone, so that a resumed training continues exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Sampler

from engine.contract.data import PatchConfig

Draw = tuple[int, int]
"""(index of the sample, seed of its other random numbers)."""

POSITIONS = 64
"""Positions of each kind that are kept for an image."""
STRONG = 0.05
"""Share of the pixels, those with the largest gradients, that count as strong edges."""
PATCH_NUMBERS = 5
"""Random numbers per patch."""
MARGIN = 0.125
"""Share of a patch at each side that its chosen position avoids."""

Coordinates = npt.NDArray[np.int16]
_NONE = -1


def epoch_order(
    fractured: Sequence[bool], seed: int, epoch: int, count: int, positive_share: float | None
) -> list[int]:
    """The indices of one epoch.

    Without `positive_share` every image comes once before any comes twice. With it (balanced sampling) that share of
    the epoch is positive, mixed evenly, and each class goes through all its images in a new order before it repeats
    one. A split that lacks a class is drawn as it is.
    """
    generator = torch.Generator().manual_seed(_mix(seed, epoch))
    positives = [index for index, flag in enumerate(fractured) if flag]
    negatives = [index for index, flag in enumerate(fractured) if not flag]
    if positive_share is None or not positives or not negatives:
        return _rounds(range(len(fractured)), count, generator)
    wanted = round(count * positive_share)
    drawn = _rounds(positives, wanted, generator) + _rounds(negatives, count - wanted, generator)
    return [drawn[position] for position in torch.randperm(len(drawn), generator=generator).tolist()]


def share_of_epoch(epoch: int, epochs: int, first: float | None, last: float | None) -> float | None:
    """The share of positives in an epoch: linear from `first` to `last` in the last epoch; without `last` always
    `first`."""
    if first is None or last is None or epochs == 1:
        return first
    return first + (last - first) * epoch / (epochs - 1)


class Batches(Sampler[list[Draw]]):
    """All batches of a training from `first_step` on, epoch after epoch, and of each batch this rank's part. The last
    batch of an epoch is dropped if it is short, unless it is the only one."""

    def __init__(
        self,
        fractured: Sequence[bool],
        *,
        seed: int,
        epochs: int,
        batch_size: int,
        samples_per_epoch: int | None,
        positive_share: float | None,
        final_positive_share: float | None = None,
        first_step: int = 0,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        self.fractured, self.seed, self.epochs = fractured, seed, epochs
        self.shares = [share_of_epoch(epoch, epochs, positive_share, final_positive_share) for epoch in range(epochs)]
        self.first_step = first_step
        self.rank, self.ranks = rank, ranks
        self.count = samples_per_epoch or len(fractured)
        self.batch_size = min(batch_size, self.count)
        self.steps_per_epoch = self.count // self.batch_size

    def __len__(self) -> int:
        return self.epochs * self.steps_per_epoch - self.first_step

    def __iter__(self) -> Iterator[list[Draw]]:
        first_epoch, skip = divmod(self.first_step, self.steps_per_epoch)
        for epoch in range(first_epoch, self.epochs):
            order = epoch_order(self.fractured, self.seed, epoch, self.count, self.shares[epoch])
            for step in range(skip, self.steps_per_epoch):
                positions = range(step * self.batch_size, (step + 1) * self.batch_size)[self.rank :: self.ranks]
                yield [(order[position], _mix(self.seed, epoch, position)) for position in positions]
            skip = 0


def _rounds(indices: Sequence[int], count: int, generator: torch.Generator) -> list[int]:
    drawn: list[int] = []
    while len(drawn) < count:
        drawn += [indices[position] for position in torch.randperm(len(indices), generator=generator).tolist()]
    return drawn[:count]


def _mix(*numbers: int) -> int:
    """Several small numbers as one well-mixed 63-bit seed (splitmix64)."""
    state = 0
    for number in numbers:
        state = (state + number + 0x9E3779B97F4A7C15) & (2**64 - 1)
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
        state ^= state >> 31
    return state >> 1


class ImagePositions(NamedTuple):
    """Positions in one image."""

    fracture: Coordinates
    """(POSITIONS, 2): rows and columns, drawn uniformly from the fracture; all -1 without one."""
    edges: Coordinates
    """(POSITIONS, 2): the same on strong edges."""
    extent: Coordinates
    """(2,): rows and columns that are not black; the rest, below and to the right, is padding."""


@dataclass(frozen=True, slots=True)
class PatchPositions:
    """Positions in the images of a split, in their order."""

    table: Coordinates
    """(N, 2 * POSITIONS + 1, 2)."""

    def __getitem__(self, index: int) -> ImagePositions:
        row = self.table[index]
        return ImagePositions(row[:POSITIONS], row[POSITIONS:-1], row[-1])


def table_shape(images: int) -> tuple[int, int, int]:
    """Shape of the table that `find_positions` fills row by row."""
    return images, 2 * POSITIONS + 1, 2


def find_positions(image: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_]) -> Coordinates:
    """One row of the table, for an image and its mask, (S, S) each. It depends on their pixels alone."""
    rows, columns = _extent((image > 0) | mask)
    content = image[:rows, :columns].astype(np.float32)
    gradient = np.zeros(content.shape, np.float32)
    for axis in (0, 1):  # only inside the content: its border with the padding is no edge
        if content.shape[axis] > 1:
            gradient += np.gradient(content, axis=axis) ** 2
    strong = gradient >= np.quantile(gradient, 1 - STRONG)
    random = np.random.default_rng(0)
    return np.concatenate(
        [_drawn(mask, random), _drawn(strong & (gradient > 0), random), [[rows, columns]]], dtype=np.int16
    )


def corner(positions: ImagePositions, config: PatchConfig, numbers: npt.NDArray[np.float32]) -> tuple[int, int]:
    """(first row, first column) of the patch that the random numbers of a sample, PATCH_NUMBERS from 0 to 1, choose.

    A patch of a positive lies on its fracture with the chance `on_positive`; any other patch lies on a strong edge with
    the chance `on_hard_negative`, or anywhere. The chosen position varies within the patch, so that the network does
    not learn to look at its centre. A patch reaches into padding only where the image is smaller than the patch.
    """
    fracture_draw, edge_draw, which, down, across = (float(number) for number in numbers)
    if fracture_draw < config.on_positive and positions.fracture[0, 0] != _NONE:
        position = positions.fracture[int(which * POSITIONS)]
    elif edge_draw < config.on_hard_negative and positions.edges[0, 0] != _NONE:
        position = positions.edges[int(which * POSITIONS)]
    else:
        row, column = (int(number * (max(0, int(length) - config.size) + 1))
                       for number, length in zip((down, across), positions.extent, strict=True))  # fmt: skip
        return row, column
    first = []
    for at, length, number in zip(position, positions.extent, (down, across), strict=True):
        before = int((MARGIN + (1 - 2 * MARGIN) * number) * config.size)
        first.append(max(0, min(int(at) - before, int(length) - config.size)))
    return first[0], first[1]


def _extent(content: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """(rows, columns) from the upper left corner that contain all content; everything where there is no content."""
    if not content.any():
        return content.shape[0], content.shape[1]
    rows, columns = (np.flatnonzero(content.any(axis))[-1] + 1 for axis in (1, 0))
    return int(rows), int(columns)


def _drawn(positions: npt.NDArray[np.bool_], random: np.random.Generator) -> npt.NDArray[np.int64]:
    candidates = np.argwhere(positions)
    if not len(candidates):
        return np.full((POSITIONS, 2), _NONE, np.int64)
    return candidates[random.integers(len(candidates), size=POSITIONS)]
