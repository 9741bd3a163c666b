"""Which images a training sees at each step: a function of seed and epoch, so that a resumed training is exact."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Sampler

from engine.contract.training import TrainingConfig

Draw = tuple[int, int]
"""(index of the sample, seed of its other random numbers)."""


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


class Batches(Sampler[list[Draw]]):
    """All batches of a training from `first_step` on, epoch after epoch, and of each batch this rank's part. The last
    batch of an epoch is dropped if it is short, unless it is the only one."""

    def __init__(
        self,
        fractured: Sequence[bool],
        training: TrainingConfig,
        seed: int,
        *,
        first_step: int = 0,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        self.fractured, self.training, self.seed = fractured, training, seed
        self.first_step, self.rank, self.ranks = first_step, rank, ranks
        self.count = training.samples_per_epoch or len(fractured)
        self.batch_size = min(training.batch_size, self.count)
        self.steps_per_epoch = self.count // self.batch_size

    def __len__(self) -> int:
        return self.training.epochs * self.steps_per_epoch - self.first_step

    def __iter__(self) -> Iterator[list[Draw]]:
        first_epoch, skip = divmod(self.first_step, self.steps_per_epoch)
        for epoch in range(first_epoch, self.training.epochs):
            order = epoch_order(self.fractured, self.seed, epoch, self.count, self._positive_share(epoch))
            for step in range(skip, self.steps_per_epoch):
                positions = range(step * self.batch_size, (step + 1) * self.batch_size)[self.rank :: self.ranks]
                yield [(order[position], _mix(self.seed, epoch, position)) for position in positions]
            skip = 0

    def _positive_share(self, epoch: int) -> float | None:
        """Linear from the first share to the final one in the last epoch."""
        first, last, epochs = self.training.positive_share, self.training.final_positive_share, self.training.epochs
        if first is None or last is None or epochs == 1:
            return first
        return first + (last - first) * epoch / (epochs - 1)


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
