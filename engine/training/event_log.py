"""events.jsonl of a run, and the losses and speed that are written to it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from engine.contract.events import format_event
from engine.contract.files import named

EVERY_S = 1.0
"""Interval between readings in seconds. Reading a loss waits for the GPU."""


class EventLog:
    """The open events file, or no file on other ranks than the first. Each line is one write, so a reader sees at most
    one incomplete line."""

    def __init__(self, path: Path | None, *, keep_bytes: int = 0) -> None:
        """Open for appending. Events after `keep_bytes`, which a checkpoint remembers, are cut off."""
        self._path = path
        if path is None:
            self._file = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            return
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        os.ftruncate(self._file, min(keep_bytes, os.fstat(self._file).st_size))

    @property
    def size(self) -> int:
        """Size of the file in bytes."""
        return os.fstat(self._file).st_size

    def write(self, event: str, **fields: Any) -> None:
        """Raises OSError with the file name (disk full). An incomplete line may remain, which a resume cuts off."""
        line = format_event(event, time.time(), **fields).encode()
        with named(self._path or Path(os.devnull)):
            while line:
                line = line[os.write(self._file, line) :]

    def sync(self) -> None:
        """fsync, so that the events that a checkpoint refers to survive a crash of the machine."""
        if self._path is not None:
            with named(self._path):
                os.fsync(self._file)

    def close(self) -> None:
        os.close(self._file)


@dataclass(frozen=True, slots=True)
class Reading:
    """Losses and speed since the last reading."""

    losses: tuple[float, ...]
    """One per step."""
    images_per_s: float
    positions: tuple[tuple[int, ...], ...]
    """Positions of the images of each step in their split."""
    eta_s: float
    """Remaining time of the whole training, validations included."""


class Meter:
    """Collects losses on the device, and reads them about once a second."""

    def __init__(self, images_per_step: int, across: Callable[[torch.Tensor], torch.Tensor]) -> None:
        """`across`: computes the mean of losses over the ranks."""
        self._images_per_step, self._across = images_per_step, across
        self._losses: list[torch.Tensor] = []
        self._positions: list[torch.Tensor] = []
        self._started = self._since = time.monotonic()
        self._steps = 0

    def add(self, loss: torch.Tensor, positions: torch.Tensor) -> None:
        """One step's loss, and the positions of its images in their split."""
        self._losses.append(loss)
        self._positions.append(positions)
        self._steps += 1

    @property
    def is_due(self) -> bool:
        return time.monotonic() - self._since >= EVERY_S

    def read(self, steps_left: int) -> Reading:
        """The reading since the last one; needs at least one step."""
        losses = tuple(self._across(torch.stack(self._losses).float()).tolist())
        now = time.monotonic()
        images_per_s = len(losses) * self._images_per_step / max(now - self._since, 1e-9)
        eta = (now - self._started) / self._steps * steps_left
        positions = tuple(tuple(step.tolist()) for step in self._positions)
        self._losses, self._positions, self._since = [], [], now
        return Reading(losses, round(images_per_s, 2), positions, round(eta, 1))

    def skip(self) -> None:
        """Leave out the time since the last reading, which was a validation."""
        self._since = time.monotonic()
