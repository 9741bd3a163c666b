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
"""(index of the sample, seed of all else that is random about it)."""


def epoch_order(
    fractured: Sequence[bool], seed: int, epoch: int, count: int, positive_share: float | None
) -> list[int]:
    """The indices of one epoch.

    Without `positive_share` every image comes once before any comes twice. With it (balanced sampling) that share of
    the epoch is positive, mixed evenly; each class goes through all its images in a new order before it repeats one.
    A split that lacks a class is drawn as it is.
    """
    generator = torch.Generator().manual_seed(_mix(seed, epoch))
    positives = [index for index, flag in enumerate(fractured) if flag]
    negatives = [index for index, flag in enumerate(fractured) if not flag]
    if positive_share is None or not positives or not negatives:
        return _rounds(range(len(fractured)), count, generator)
    wanted = round(count * positive_share)
    drawn = _rounds(positives, wanted, generator) + _rounds(negatives, count - wanted, generator)
    return [drawn[place] for place in torch.randperm(len(drawn), generator=generator).tolist()]


def share_of_epoch(epoch: int, epochs: int, first: float | None, last: float | None) -> float | None:
    """The share of positives in an epoch: from `first` evenly to `last`, which the last epoch has; None: `first` in
    all."""
    if first is None or last is None or epochs == 1:
        return first
    return first + (last - first) * epoch / (epochs - 1)


class Batches(Sampler[list[Draw]]):
    """All batches of a training from step `first_step` on, epoch after epoch, the last short one of an epoch left out
    unless it is the only one; of each its share where a training has several ranks."""

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
                places = range(step * self.batch_size, (step + 1) * self.batch_size)[self.rank :: self.ranks]
                yield [(order[place], _mix(self.seed, epoch, place)) for place in places]
            skip = 0


def _rounds(indices: Sequence[int], count: int, generator: torch.Generator) -> list[int]:
    drawn: list[int] = []
    while len(drawn) < count:
        drawn += [indices[place] for place in torch.randperm(len(indices), generator=generator).tolist()]
    return drawn[:count]


def _mix(*numbers: int) -> int:
    """Several small numbers as one well-spread 63-bit seed (splitmix64)."""
    state = 0
    for number in numbers:
        state = (state + number + 0x9E3779B97F4A7C15) & (2**64 - 1)
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
        state ^= state >> 31
    return state >> 1


PLACES = 64
"""Of each kind that are kept for an image."""
STRONG = 0.05
"""Share of the pixels, those with the largest gradients, that count as strong edges."""
PATCH_NUMBERS = 5
"""Random numbers that one patch needs."""
MARGIN = 0.125
"""Share of a patch on each side in which the place it was cut for does not lie."""

Coordinates = npt.NDArray[np.int16]
_NONE = -1


class PlacesOf(NamedTuple):
    """Those of one image."""

    fracture: Coordinates
    """(PLACES, 2): rows and columns, evenly drawn from its pixels; all -1 where there is none."""
    edges: Coordinates
    """(PLACES, 2): the same where edges are strong."""
    extent: Coordinates
    """(2,): rows and columns of what is not black; the rest, below and to the right, is padding."""


@dataclass(frozen=True, slots=True)
class Places:
    """Those of the images of a split, in their order."""

    table: Coordinates
    """(N, 2 * PLACES + 1, 2)."""

    def __getitem__(self, index: int) -> PlacesOf:
        row = self.table[index]
        return PlacesOf(row[:PLACES], row[PLACES:-1], row[-1])


def table_shape(images: int) -> tuple[int, int, int]:
    """Of the table that `find_places` fills row by row."""
    return images, 2 * PLACES + 1, 2


def find_places(image: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_]) -> Coordinates:
    """One row of the table, of an image and its mask, (S, S) each. It depends on their pixels alone."""
    rows, columns = _extent((image > 0) | mask)
    content = image[:rows, :columns].astype(np.float32)
    gradient = np.zeros(content.shape, np.float32)
    for axis in (0, 1):  # inside the content only: its border with the padding is no edge of anything
        if content.shape[axis] > 1:
            gradient += np.gradient(content, axis=axis) ** 2
    strong = gradient >= np.quantile(gradient, 1 - STRONG)
    random = np.random.default_rng(0)
    return np.concatenate(
        [_drawn(mask, random), _drawn(strong & (gradient > 0), random), [[rows, columns]]], dtype=np.int16
    )


def corner(places: PlacesOf, config: PatchConfig, numbers: npt.NDArray[np.float32]) -> tuple[int, int]:
    """(first row, first column) of the patch that a sample's random numbers, PATCH_NUMBERS of them from 0 to 1, choose.

    On a place in the fracture by the chance `on_positive`; of the others on a strong edge by `on_hard_negative`, and
    anywhere else. The place lies somewhere in the patch, not in its middle: a network would learn to look there. No
    patch reaches into padding, but where the image is smaller than it.
    """
    wants_fracture, wants_edge, which, down, across = (float(number) for number in numbers)
    if wants_fracture < config.on_positive and places.fracture[0, 0] != _NONE:
        place = places.fracture[int(which * PLACES)]
    elif wants_edge < config.on_hard_negative and places.edges[0, 0] != _NONE:
        place = places.edges[int(which * PLACES)]
    else:
        row, column = (int(number * (max(0, int(length) - config.size) + 1))
                       for number, length in zip((down, across), places.extent, strict=True))  # fmt: skip
        return row, column
    first = []
    for at, length, number in zip(place, places.extent, (down, across), strict=True):
        before = int((MARGIN + (1 - 2 * MARGIN) * number) * config.size)
        first.append(max(0, min(int(at) - before, int(length) - config.size)))
    return first[0], first[1]


def _extent(content: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """(rows, columns) from the upper left corner that hold all of the content; of nothing: everything."""
    if not content.any():
        return content.shape[0], content.shape[1]
    rows, columns = (np.flatnonzero(content.any(axis))[-1] + 1 for axis in (1, 0))
    return int(rows), int(columns)


def _drawn(places: npt.NDArray[np.bool_], random: np.random.Generator) -> npt.NDArray[np.int64]:
    found = np.argwhere(places)
    if not len(found):
        return np.full((PLACES, 2), _NONE, np.int64)
    return found[random.integers(len(found), size=PLACES)]
