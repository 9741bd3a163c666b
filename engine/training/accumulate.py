"""Which steps make an update together, where gradients are accumulated over several of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """A step's part in its update."""

    of: int = 1
    """Steps that make the update; the loss of each counts as one of so many."""
    is_first: bool = True
    is_last: bool = True


WHOLE = Part()


def part_of_update(step: int, steps_per_epoch: int, accumulate: int) -> Part:
    """Of a step of the training, counted from 0. An epoch's last update is made of the steps that are left, so that
    every epoch ends with one."""
    place = step % steps_per_epoch
    first = place - place % accumulate
    end = min(first + accumulate, steps_per_epoch)
    return Part(end - first, place == first, place == end - 1)


def updates_per_epoch(steps_per_epoch: int, accumulate: int) -> int:
    return -(-steps_per_epoch // accumulate)
